import pg from 'pg'
import { dockerAnswers, startContainerPostgres } from './container.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts'
import type { PostgresServer, ServerSettings } from './server.ts'

/** What {@link providePostgres} can be told. */
export interface ProvideOptions {
  /** For a server that we start; one given by DATABASE_URL stays as it is. */
  readonly settings?: ServerSettings
  /** Is told which server it is; the console by default. */
  readonly progress?: (line: string) => void
}

/** Room for many sessions on a small machine, with the server's own durability. */
export const testSettings: ServerSettings = { max_connections: 300, shared_buffers: '32MB' }

/**
 * A real PostgreSQL: the one at DATABASE_URL if that is set; else a container where a Docker engine answers; else an
 * embedded server. PG_ELECT_TEST_BINARIES, a folder with other binaries, goes before all of these.
 */
export async function providePostgres(options: ProvideOptions = {}): Promise<PostgresServer> {
  const { settings = testSettings, progress = console.log } = options
  const server = await choose(settings, progress)
  progress(`PostgreSQL for this run: ${server.description}`)
  return server
}

async function choose(settings: ServerSettings, progress: (line: string) => void): Promise<PostgresServer> {
  const binariesFolder = process.env.PG_ELECT_TEST_BINARIES
  if (binariesFolder) return startEmbeddedPostgres({ binariesFolder, settings })
  const url = process.env.DATABASE_URL
  if (url) return givenServer(url)
  if (!(await dockerAnswers())) return embedded(settings)
  try {
    return await startContainerPostgres(settings)
  } catch (error) {
    // Without a way to the registry there is no image. Whoever names an image, however, wants that one.
    if (process.env.PG_ELECT_TEST_IMAGE) throw error
    progress(`A Docker engine answers, but the container did not start: ${String(error)}`)
    return embedded(settings)
  }
}

function embedded(settings: ServerSettings): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ settings })
}

async function givenServer(connectionString: string): Promise<PostgresServer> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
    return {
      description: `DATABASE_URL, PostgreSQL ${rows[0]?.server_version}`,
      connectionString,
      stop: async () => {},
    }
  } finally {
    await client.end()
  }
}
