import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'
import { testDatabasePrefix } from './template.ts'

/** A database of a test file's own. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  readonly connectionString: string
  /** Opens a new session. It ends with the database at the latest. */
  connect(overrides?: pg.ClientConfig): Promise<pg.Client>
  /** Drops the database, throwing out whoever is connected. Calling it again does nothing. */
  drop(): Promise<void>
}

/** What {@link createTestDatabase} can be told. */
export interface TestDatabaseOptions {
  /** Without the schema. */
  readonly empty?: boolean
}

const templateBusy = '55006'
const templateTimeoutMs = 15_000
let count = 0

/** A new database with the schema installed, copied from the run's template. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const [serverUrl, template] = [inject('postgresUrl'), inject('templateDatabase')]
  count += 1
  const name = `${testDatabasePrefix(template)}${process.pid}_${count}_${randomBytes(3).toString('hex')}`
  await createFrom(serverUrl, name, options.empty ? 'template0' : template)
  const connectionString = withDatabase(serverUrl, name)
  const clients: pg.Client[] = []
  let dropping: Promise<void> | undefined

  const drop = async () => {
    // The server ends the sessions: a polite goodbye would wait behind a statement that waits for a lock.
    await onServer(serverUrl, (client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
    await Promise.allSettled(clients.map((client) => client.end()))
  }
  const database: TestDatabase = {
    name,
    connectionString,
    connect: async (overrides = {}) => {
      const client = new pg.Client(sessionConfig(connectionString, overrides))
      // Without a listener, a session ended by the server would end the test process.
      client.on('error', () => {})
      await client.connect()
      clients.push(client)
      return client
    },
    drop: () => {
      dropping ??= drop()
      return dropping
    },
    [Symbol.asyncDispose]: () => database.drop(),
  }
  return database
}

async function createFrom(serverUrl: string, name: string, template: string): Promise<void> {
  const deadline = performance.now() + templateTimeoutMs
  await onServer(serverUrl, async (client) => {
    for (;;) {
      try {
        await client.query(`CREATE DATABASE ${name} TEMPLATE ${template}`)
        return
      } catch (error) {
        const busy = error instanceof pg.DatabaseError && error.code === templateBusy
        if (!busy || performance.now() > deadline) throw error
        await delay(50)
      }
    }
  })
}

/** Runs something on a short session to the server's own database. */
async function onServer(serverUrl: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

function withDatabase(connectionString: string, name: string): string {
  const url = new URL(connectionString)
  url.pathname = `/${name}`
  return url.href
}

/** The driver prefers the connection string to everything beside it: what is overridden must change there. */
function sessionConfig(connectionString: string, overrides: pg.ClientConfig): pg.ClientConfig {
  const { user, password, host, port, database, ...rest } = overrides
  const url = new URL(connectionString)
  if (user !== undefined) url.username = encodeURIComponent(user)
  if (typeof password === 'string') url.password = encodeURIComponent(password)
  if (host !== undefined) url.hostname = host
  if (port !== undefined) url.port = String(port)
  if (database !== undefined) url.pathname = `/${database}`
  return { ...rest, connectionString: url.href }
}
