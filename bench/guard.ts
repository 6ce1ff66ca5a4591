/**
 * What the guard costs: a guarded transaction against a plain one, a write of a protected table against one of a plain table, by
 * statement and by row. `npm run bench:guard`; DATABASE_URL for a server of your own, else an embedded one.
 *
 * Rounds of all scenarios are interleaved, so that a slow moment of the machine strikes all alike; told are medians.
 */
import pg from 'pg'
import { type Lease, PgElect } from '../src/index.ts'
import { providePostgres } from '../test/support/postgres/provide.ts'

const ROUNDS = 15
const TRANSACTIONS_A_ROUND = 200
const ROWS_A_STATEMENT = 10_000

const server = await providePostgres({ settings: { shared_buffers: '64MB' } })
const url = new URL(server.connectionString)
const database = `elect_bench_${process.pid}`
await run(server.connectionString, `CREATE DATABASE ${database}`)
url.pathname = `/${database}`
const session = new pg.Client({ connectionString: url.href })
try {
  await using elect = new PgElect({ connectionString: url.href, ttlMs: 60_000 })
  await elect.install()
  await session.connect()
  await session.query(`
    CREATE TABLE plain (id bigint, value text);
    CREATE TABLE guarded (id bigint, value text);
    CREATE TABLE plain_parts (id bigint, value text) PARTITION BY RANGE (id);
    CREATE TABLE plain_part PARTITION OF plain_parts DEFAULT;
    CREATE TABLE guarded_parts (id bigint, value text) PARTITION BY RANGE (id);
    CREATE TABLE guarded_part PARTITION OF guarded_parts DEFAULT;
    SELECT elect.protect_table('guarded', 'bench'), elect.protect_table('guarded_parts', 'bench')`)
  const lease = await elect.acquire('bench')
  print(await measure(lease), (await session.query('SHOW server_version')).rows[0].server_version)
} finally {
  await session.end()
  await run(server.connectionString, `DROP DATABASE ${database} WITH (FORCE)`)
  await server.stop()
}

async function measure(lease: Lease): Promise<Map<string, number[]>> {
  const insert = (table: string) => `INSERT INTO ${table} VALUES (1, 'x')`
  const many = (table: string) =>
    `INSERT INTO ${table} SELECT i, 'x' FROM generate_series(1, ${ROWS_A_STATEMENT}) i`
  const plain = (text: string) => async () => {
    await session.query('BEGIN')
    await session.query(text)
    await session.query('COMMIT')
  }
  const guarded = (text: string) => () => lease.transaction(session, (trx) => trx.query(text))
  const scenarios: [name: string, times: number, work: () => Promise<unknown>][] = [
    ['a transaction, one insert: plain', TRANSACTIONS_A_ROUND, plain(insert('plain'))],
    ['a transaction, one insert: guarded', TRANSACTIONS_A_ROUND, guarded(insert('plain'))],
    ['a transaction, one insert: guarded, protected table', TRANSACTIONS_A_ROUND, guarded(insert('guarded'))],
    ['10,000 rows in one statement: guarded, plain table', 1, guarded(many('plain'))],
    ['10,000 rows in one statement: guarded, protected table', 1, guarded(many('guarded'))],
    ['10,000 rows, partitioned: guarded, plain table', 1, guarded(many('plain_parts'))],
    ['10,000 rows, partitioned: guarded, protected table', 1, guarded(many('guarded_parts'))],
  ]
  const timesMs = new Map<string, number[]>(scenarios.map(([name]) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, times, work] of scenarios) {
      const begun = performance.now()
      for (let i = 0; i < times; i++) await work()
      timesMs.get(name)?.push((performance.now() - begun) / times)
    }
    await session.query('TRUNCATE plain, plain_parts')
  }
  return timesMs
}

function print(timesMs: Map<string, number[]>, version: string): void {
  console.log(`\nPostgreSQL ${version}, ${ROUNDS} rounds, median ms of one (lowest to highest)\n`)
  for (const [name, times] of timesMs) {
    const sorted = times.toSorted((a, b) => a - b)
    const at = (part: number) => (sorted[Math.floor((sorted.length - 1) * part)] ?? 0).toFixed(3)
    console.log(`${name.padEnd(56)} ${at(0.5).padStart(8)}  (${at(0)} to ${at(1)})`)
  }
}

async function run(connectionString: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  await client.query(text)
  await client.end()
}
