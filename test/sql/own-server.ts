import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { embeddedBinariesFolder, versionOf } from '../support/postgres/binaries.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/postgres/embedded.ts'
import type { ServerSettings } from '../support/postgres/server.ts'

const binariesFolder = process.env.PG_ELECT_TEST_BINARIES || embeddedBinariesFolder()

/** A server that a test file has for itself, and sessions on it. */
export interface OwnServer {
  /** The address of a database for one of its users, the superuser by default. */
  urlOf(database: string, user?: string): string
  connect(connectionString: string): Promise<pg.Client>
}

/** All users but the superuser have this password. */
export const password = 'secret'

/** The major version of the servers that {@link useOwnServer} starts. */
export async function ownServerVersion(): Promise<number> {
  return Number.parseInt(await versionOf(binariesFolder), 10)
}

/** Starts a server before the file's first test: for what belongs to a whole server, and would disturb the others. */
export function useOwnServer(settings: ServerSettings = {}): OwnServer {
  const clients: pg.Client[] = []
  let server: EmbeddedPostgres | undefined
  beforeAll(async () => {
    server = await startEmbeddedPostgres({ binariesFolder, settings })
  })
  afterAll(async () => {
    await Promise.allSettled(clients.map((client) => client.end()))
    await server?.stop()
  })
  return {
    urlOf: (database, user) => {
      if (server === undefined) throw new Error('the server runs only while tests do')
      const url = new URL(server.connectionString)
      url.pathname = `/${database}`
      if (user !== undefined) [url.username, url.password] = [user, password]
      return url.href
    },
    connect: async (connectionString) => {
      const client = new pg.Client({ connectionString })
      client.on('error', () => {})
      await client.connect()
      clients.push(client)
      return client
    },
  }
}
