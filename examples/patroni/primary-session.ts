import pg from 'pg'

const CONNECT_TIMEOUT_MS = 1_000
const QUERY_TIMEOUT_MS = 2_000

/**
 * A connection of the application's own to whichever server is the primary. The driver knows one host a connection, so the servers
 * are asked one after the other.
 */
export class PrimarySession {
  readonly #servers: readonly string[]
  #place = 0
  #client: pg.Client | undefined

  constructor(servers: readonly string[]) {
    this.#servers = servers
  }

  /** @throws Error if no server can be written to now. */
  async get(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client
    let last: unknown
    for (let step = 0; step < this.#servers.length; step += 1) {
      const place = (this.#place + step) % this.#servers.length
      try {
        this.#client = await connectToPrimary(this.#servers[place] ?? '')
        this.#place = place
        return this.#client
      } catch (error) {
        last = error
      }
    }
    throw new Error('no server can be written to', { cause: last })
  }

  /** The next one to ask looks for the primary anew. */
  drop(): void {
    const client = this.#client
    this.#client = undefined
    // With a query under way it is cut off, and not waited for.
    client?.end().catch(() => {})
  }
}

/** A connection that gives up where a stopped server would never answer. */
export async function connectTo(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  })
  // A connection that nobody listens to would end the process when it breaks.
  client.on('error', () => {})
  await client.connect()
  return client
}

async function connectToPrimary(connectionString: string): Promise<pg.Client> {
  const client = await connectTo(connectionString)
  try {
    const { rows } = await client.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
    if (rows[0]?.standby) throw new Error('a standby')
    return client
  } catch (error) {
    client.end().catch(() => {})
    throw error
  }
}

/** Undefined if it cannot be written to, or does not answer. */
export async function timelineOf(connectionString: string): Promise<number | undefined> {
  try {
    const client = await connectTo(connectionString)
    try {
      const { rows } = await client.query<{ timeline: number }>(
        `SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline`,
      )
      return rows[0]?.timeline
    } finally {
      client.end().catch(() => {})
    }
  } catch {
    return undefined
  }
}
