/**
 * As little as a lease could be, through the same driver: for each cycle one durable and one asynchronous update of a row. What the machine,
 * its disk and the driver can do at all.
 */
import { type Call, callersRunner } from '../harness/callers.ts'
import { requireConnections } from '../harness/connections.ts'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'

const UNIT = 'cycles'
const CONNECTIONS_QUICK = 16

/** Their own row each, in a table of their own. */
async function createRows(bench: Bench, table: string, count: number): Promise<void> {
  const session = await bench.database.connect()
  try {
    await requireConnections(session, count)
    await session.query(
      `DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id integer PRIMARY KEY, n integer) WITH (fillfactor = 70)`,
    )
    await session.query(`INSERT INTO ${table} SELECT id, 0 FROM generate_series(0, $1::integer - 1) AS id`, [
      count,
    ])
  } finally {
    await session.end()
  }
}

/** One connection does both, as a client does: for the asynchronous one the setting is changed on the way. */
const lazily = (table: string, where: string): string =>
  `WITH lazy AS (SELECT set_config('synchronous_commit', 'off', true)) UPDATE ${table} SET n = n + 1 FROM lazy WHERE ${where}`

/** As each change of a holder, whoever else writes: the server lets only one transaction at a time commit that has told something. */
const telling = (table: string, where: string): string =>
  `WITH told AS (SELECT pg_notify('bare', 'changed')) UPDATE ${table} SET n = n + 1 FROM told WHERE ${where}`
const tellingLazily = (table: string, where: string): string =>
  `WITH lazy AS (SELECT set_config('synchronous_commit', 'off', true), pg_notify('bare', 'changed')) UPDATE ${table} SET n = n + 1 FROM lazy WHERE ${where}`

async function single(bench: Bench, connections: number, isTold: boolean): Promise<Runner> {
  const table = `bare_${isTold ? 'told_' : ''}${connections}`
  await createRows(bench, table, connections)
  const sessions = await Promise.all(Array.from({ length: connections }, () => bench.database.connect()))
  const calls = sessions.map((session, id): Call => {
    const where = `id = ${id}`
    const text = isTold ? telling(table, where) : `UPDATE ${table} SET n = n + 1 WHERE ${where}`
    const update = { name: 'update', text }
    const later = { name: 'lazily', text: (isTold ? tellingLazily : lazily)(table, where) }
    return async () => {
      await session.query(update)
      await session.query(later)
    }
  })
  return callersRunner(UNIT, calls, () => Promise.all(sessions.map((session) => session.end())))
}

/** All rows by one statement, so that one call stands for a cycle of each. */
async function together(bench: Bench, rows: number): Promise<Runner> {
  const table = `bare_together_${rows}`
  await createRows(bench, table, rows)
  const session = await bench.database.connect()
  const values = [Array.from({ length: rows }, (_, id) => id)]
  const update = { name: 'update', text: `UPDATE ${table} SET n = n + 1 WHERE id = ANY ($1)`, values }
  const later = { name: 'lazily', text: lazily(table, 'id = ANY ($1)'), values }
  const call = async () => {
    await session.query(update)
    await session.query(later)
  }
  const runner = callersRunner('statements', [call], () => session.end())
  return {
    async round(forMs) {
      const { 'statements/s': rate, ...figures } = await runner.round(forMs)
      return { ...figures, [`${UNIT}/s`]: Number(rate) * rows }
    },
    close: () => runner.close(),
  }
}

export const bareUpdates = (connections: number): Contestant => ({
  name: 'bare updates',
  how: `one durable and one asynchronous UPDATE of one row${connections === 1 ? '' : `, ${connections} connections`}`,
  async open(bench) {
    if (connections > CONNECTIONS_QUICK) requireTime(bench)
    return single(bench, connections, false)
  },
})

export const bareUpdatesTold = (connections: number): Contestant => ({
  name: 'bare updates, told',
  how: 'the same, each with a NOTIFY: what the server does of that with nothing else to do',
  open: (bench) => single(bench, connections, true),
})

export const bareUpdatesTogether = (rows: number): Contestant => ({
  name: 'bare updates, together',
  how: `one durable and one asynchronous UPDATE of all ${rows} rows, one connection`,
  open: (bench) => together(bench, rows),
})
