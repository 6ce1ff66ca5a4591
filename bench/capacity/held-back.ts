/** What a transaction that stays open costs: old versions of the rows that are renewed meanwhile cannot be cleaned up. */
import type { BenchDatabase } from '../harness/bench-database.ts'
import { formatNumber } from '../harness/format.ts'
import { tableBytes } from '../support/table-of-leases.ts'
import { markdownTable } from './blocks.ts'
import { type Cost, hotPercent, measure } from './costs.ts'
import { populate } from './population.ts'
import { openServerCpu } from './server-cpu.ts'

const TTL_MS = 24 * 3600 * 1000
const LEASES = 1000
const BATCH = 100
const STATEMENTS = LEASES / BATCH

interface Stage {
  readonly name: string
  readonly cost: Cost | undefined
  readonly tableBytes: number
  readonly hotPercent: number
}

/** @param renewals - of each lease while the transaction is open; an hour of it is 758 at the default TTL */
export async function measureHeldBack(database: BenchDatabase, renewals: number): Promise<string> {
  const own = await database.another()
  const [session, other] = [await own.connect(), await own.connect()]
  try {
    const cpu = await openServerCpu(session)
    const population = await populate(session, {
      processes: STATEMENTS,
      leases: BATCH,
      isBySession: false,
      ttlMs: TTL_MS,
      heldForMs: TTL_MS,
    })
    const numbers = Array.from({ length: BATCH }, (_, lease) => lease)
    const beat = {
      text: 'SELECT count(granted) FROM elect.renew_leases(names => $1, tokens => $2)',
      values: (turn: number) => [
        numbers.map((lease) => population.name(turn % STATEMENTS, lease)),
        numbers.map((lease) => population.token(turn % STATEMENTS, lease)),
      ],
    }
    const renew = (each: number) =>
      measure(session, cpu, beat, { from: 0, turns: each * STATEMENTS, withinMs: 20_000 })
    const stage = async (name: string, cost?: Cost): Promise<Stage> => ({
      name,
      cost,
      tableBytes: await tableBytes(session),
      hotPercent: await hotPercent(session),
    })
    await renew(10)
    const stages = [await stage('renewed ten times each', await renew(10))]
    await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1')
    await renew(renewals)
    stages.push(await stage(`${renewals} times more, beside a transaction that stays open`, await renew(10)))
    await other.query('COMMIT')
    await session.query('VACUUM elect.leases')
    await renew(10)
    stages.push(await stage('that has ended, and a vacuum has run', await renew(10)))
    return markdownTable(
      [
        `${LEASES.toLocaleString('en-US')} leases, ${BATCH} a statement`,
        'table and indexes, kB',
        'HOT % so far',
        'CPU µs a lease',
        'WAL bytes a lease',
      ],
      stages.map(({ name, cost, tableBytes: bytes, hotPercent: hot }) => [
        name,
        formatNumber(bytes / 1000),
        formatNumber(hot),
        formatNumber((cost?.cpuMicrosEach ?? Number.NaN) / BATCH),
        formatNumber((cost?.walBytesEach ?? Number.NaN) / BATCH),
      ]),
    )
  } finally {
    await Promise.all([session.end(), other.end()])
    await own.drop()
  }
}
