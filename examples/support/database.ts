import pg from 'pg'
import { startEmbeddedPostgres } from '../../test/support/postgres/embedded.ts'

/** The PostgreSQL that an example runs on. */
export interface Database extends AsyncDisposable {
  /** For people, such as "embedded PostgreSQL 17.10". */
  readonly description: string
  readonly connectionString: string
  /** How to name it on a psql command line. */
  readonly psqlTarget: string
}

/** The one at DATABASE_URL if that is set; else one of our own, gone without a trace when the example ends. */
export async function openDatabase(progress: (line: string) => void): Promise<Database> {
  const url = process.env.DATABASE_URL
  return url ? givenDatabase(url, progress) : embeddedDatabase(progress)
}

async function embeddedDatabase(progress: (line: string) => void): Promise<Database> {
  const server = await startEmbeddedPostgres({ progress })
  return {
    description: server.description,
    connectionString: server.connectionString,
    psqlTarget: server.connectionString,
    [Symbol.asyncDispose]: async () => {
      progress('stopping PostgreSQL and removing its folder')
      await server.stop()
    },
  }
}

async function givenDatabase(connectionString: string, progress: (line: string) => void): Promise<Database> {
  progress('connecting to the database at DATABASE_URL')
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<{ name: string; version: string }>(
      `SELECT current_database() AS name, split_part(current_setting('server_version'), ' ', 1) AS version`,
    )
    return {
      description: `PostgreSQL ${rows[0]?.version}, database ${rows[0]?.name}`,
      connectionString,
      // Not the value, which may hold a password.
      psqlTarget: '"$DATABASE_URL"',
      [Symbol.asyncDispose]: async () => {},
    }
  } catch (error) {
    throw new Error(`cannot use the database at DATABASE_URL: ${reasonOf(error)}`, { cause: error })
  } finally {
    await client.end().catch(() => {})
  }
}

/** Where a host name has several addresses, the error that holds one for each has no message of its own. */
function reasonOf(error: unknown): string {
  const [first] = error instanceof AggregateError ? error.errors : [error]
  return first instanceof Error ? first.message : String(first)
}
