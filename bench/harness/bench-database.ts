import type pg from 'pg'
import { PgElect } from '../../src/index.ts'
import { providePostgres } from '../../test/support/postgres/provide.ts'
import { connect } from './connect.ts'

/** A database for one benchmark, with schema `elect` in it. */
export interface BenchDatabase {
  readonly connectionString: string
  readonly version: string
  /** Opens a session, which ends with the database at the latest. */
  connect(): Promise<pg.Client>
  /** One more on the same server: for what would be in the way of the others, or they of it. */
  another(): Promise<BenchDatabase>
  /** The first one's server ends with it. */
  drop(): Promise<void>
}

/** Of DATABASE_URL's server, else of an embedded one. */
export async function openBenchDatabase(maxConnections = 300): Promise<BenchDatabase> {
  const server = await providePostgres({
    settings: { shared_buffers: '256MB', max_connections: `${maxConnections}`, max_wal_size: '4GB' },
  })
  const version = await run(server.connectionString, 'SHOW server_version')
  const prefix = `elect_bench_${process.pid}`
  // Copied for each: installing takes longer.
  const template = `${prefix}_template`
  const urlOf = (name: string): URL => {
    const url = new URL(server.connectionString)
    url.pathname = `/${name}`
    return url
  }
  await run(server.connectionString, `CREATE DATABASE ${template}`)
  const elect = new PgElect({ connectionString: urlOf(template).href })
  await elect.install()
  await elect.close()
  let count = 0
  const make = async (afterDrop: () => Promise<void>): Promise<BenchDatabase> => {
    count += 1
    const name = `${prefix}_${count}`
    await run(server.connectionString, `CREATE DATABASE ${name} TEMPLATE ${template}`)
    const url = urlOf(name)
    return {
      connectionString: url.href,
      version,
      connect: () => connect(url.href),
      another: () => make(async () => {}),
      async drop() {
        await run(server.connectionString, `DROP DATABASE ${name} WITH (FORCE)`)
        await afterDrop()
      },
    }
  }
  return make(async () => {
    await run(server.connectionString, `DROP DATABASE ${template}`)
    await server.stop()
  })
}

/** Runs one statement on a connection of its own; the first column of its first row. */
export async function run(connectionString: string, text: string): Promise<string> {
  const client = await connect(connectionString)
  const { rows } = await client.query(text)
  await client.end()
  return String(Object.values(rows?.[0] ?? {})[0] ?? '')
}
