/** What the guard costs: a guarded transaction against a plain one, a protected table against a plain one, by statement and by row. */
import type pg from 'pg'
import type { Lease } from '../../src/index.ts'
import { openElect } from '../harness/elect.ts'
import type { Bench, Contestant, Runner, Scenario } from '../harness/scenario.ts'
import { quantile } from '../harness/statistics.ts'

const ROWS = 10_000
const FIGURE = 'ms a transaction'

/** Only the lease that a table is protected with can write it: so each contestant has tables of its own. */
async function writing(
  bench: Bench,
  name: string,
  options: { isGuarded: boolean; isProtected: boolean; isPartitioned?: boolean },
  insert: (table: string) => string,
): Promise<Runner> {
  const { isGuarded, isProtected, isPartitioned = false } = options
  const session = await bench.database.connect()
  const elect = openElect(bench, { ttlMs: 600_000 })
  const lease = await elect.acquire(name)
  const table = `"${name}"`
  await session.query(
    isPartitioned
      ? `CREATE TABLE ${table} (id bigint, value text) PARTITION BY RANGE (id); CREATE TABLE "${name} part" PARTITION OF ${table} DEFAULT`
      : `CREATE TABLE ${table} (id bigint, value text)`,
  )
  if (isProtected) await session.query('SELECT elect.protect_table($1::text::regclass, $2)', [table, name])
  const text = insert(table)
  const once = isGuarded ? guarded(lease, session, text) : plain(session, text)
  return {
    async round(forMs) {
      const timesMs: number[] = []
      for (const startMs = performance.now(); performance.now() - startMs < forMs; ) {
        const begunMs = performance.now()
        await once()
        timesMs.push(performance.now() - begunMs)
      }
      return { [FIGURE]: quantile(timesMs, 0.5) }
    },
    async close() {
      await lease.release()
      await elect.close()
      await session.query(`DROP TABLE ${table}`)
      await session.end()
    },
  }
}

function plain(session: pg.Client, text: string): () => Promise<unknown> {
  return async () => {
    await session.query('BEGIN')
    await session.query(text)
    await session.query('COMMIT')
  }
}

function guarded(lease: Lease, session: pg.Client, text: string): () => Promise<unknown> {
  return () => lease.transaction(session, (trx) => trx.query(text))
}

const oneRow = (table: string) => `INSERT INTO ${table} VALUES (1, 'x')`
const manyRows = (table: string) => `INSERT INTO ${table} SELECT i, 'x' FROM generate_series(1, ${ROWS}) AS i`

function contestant(
  name: string,
  how: string,
  options: Parameters<typeof writing>[2],
  insert: (table: string) => string,
): Contestant {
  // The scenarios run in one database.
  return { name, how, open: (bench) => writing(bench, `${insert.name} ${name}`, options, insert) }
}

export const guardedTransactions: Scenario = {
  name: 'guarded',
  title: 'A transaction with one insert, guarded',
  figure: FIGURE,
  better: 'less',
  rounds: 5,
  roundMs: 200,
  contestants: [
    contestant('plain', 'BEGIN, INSERT, COMMIT', { isGuarded: false, isProtected: false }, oneRow),
    contestant(
      'guarded',
      'lease.transaction(session, …): the guard rides along with BEGIN',
      { isGuarded: true, isProtected: false },
      oneRow,
    ),
    contestant(
      'guarded, protected table',
      'the same, into a table of protect_table',
      { isGuarded: true, isProtected: true },
      oneRow,
    ),
  ],
  goals: [],
}

export const guardedRows: Scenario = {
  name: 'guarded-rows',
  title: 'A guarded transaction with 10,000 rows in one insert',
  figure: FIGURE,
  better: 'less',
  rounds: 5,
  roundMs: 200,
  contestants: [
    contestant('plain table', 'guarded, one INSERT', { isGuarded: true, isProtected: false }, manyRows),
    contestant('protected table', 'one check a statement', { isGuarded: true, isProtected: true }, manyRows),
    contestant(
      'plain partitioned table',
      'guarded, one INSERT',
      { isGuarded: true, isProtected: false, isPartitioned: true },
      manyRows,
    ),
    contestant(
      'protected partitioned table',
      'one check a row, since each may go to another partition',
      { isGuarded: true, isProtected: true, isPartitioned: true },
      manyRows,
    ),
  ],
  goals: [],
}
