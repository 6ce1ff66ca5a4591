import pg from 'pg'
import { PgElect } from '../../src/index.ts'
import { providePostgres } from '../../test/support/postgres/provide.ts'

/** A database for one benchmark, with schema `elect` in it: of DATABASE_URL's server, else of an embedded one. */
export async function openBenchDatabase(): Promise<{
  connectionString: string
  version: string
  drop(): Promise<void>
}> {
  const server = await providePostgres({ settings: { shared_buffers: '64MB', max_connections: '300' } })
  const url = new URL(server.connectionString)
  const database = `elect_bench_${process.pid}`
  const version = await run(server.connectionString, 'SHOW server_version')
  await run(server.connectionString, `CREATE DATABASE ${database}`)
  url.pathname = `/${database}`
  const elect = new PgElect({ connectionString: url.href })
  await elect.install()
  await elect.close()
  return {
    connectionString: url.href,
    version,
    async drop() {
      await run(server.connectionString, `DROP DATABASE ${database} WITH (FORCE)`)
      await server.stop()
    },
  }
}

/** Runs one statement on a connection of its own; the first column of its first row. */
export async function run(connectionString: string, text: string): Promise<string> {
  const client = await connect(connectionString)
  const { rows } = await client.query(text)
  await client.end()
  return String(Object.values(rows?.[0] ?? {})[0] ?? '')
}

export async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** The value at that part of the sorted list: 0.5 is the median. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}
