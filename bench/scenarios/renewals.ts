/** One beat of a process that holds so many leases: they are renewed by one statement. */
import type pg from 'pg'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Figures, Runner, Scenario } from '../harness/scenario.ts'
import { quantile } from '../harness/statistics.ts'
import { walPosition } from '../harness/wal.ts'

const FIGURE = 'ms a beat'
/** What a beat writes to the log where its pages are in there already since the last checkpoint, as they are most of the time. */
const WAL = 'WAL bytes a lease'
/** The first beat after a checkpoint: each page that it touches is written to the log as a whole. */
const WAL_FIRST = 'first after a checkpoint'
async function repeated(
  bench: Bench,
  prepare: string,
  beat: { text: string; values?: unknown[] },
  leases: number,
): Promise<Runner> {
  const session = await bench.database.connect()
  await session.query(prepare)
  const statement = { name: 'beat', ...beat }
  const wal = async () => {
    const before = await walPosition(session)
    await session.query(statement)
    return ((await walPosition(session)) - before) / leases
  }
  let afterCheckpoint: number | undefined
  return {
    async round(forMs): Promise<Figures> {
      // Only once: it also keeps the server's own checkpoints away from the rounds, for five minutes.
      afterCheckpoint ??= (await checkpoint(session)) ? await wal() : Number.NaN
      const timesMs: number[] = []
      for (const startMs = performance.now(); performance.now() - startMs < forMs; ) {
        const begunMs = performance.now()
        await session.query(statement)
        timesMs.push(performance.now() - begunMs)
      }
      // At last: leases that were acquired all at once lie so close that the first renewals have to move them apart.
      return { [FIGURE]: quantile(timesMs, 0.5), [WAL]: await wal(), [WAL_FIRST]: afterCheckpoint }
    },
    close: () => session.end(),
  }
}

/** False if this role may not. */
async function checkpoint(session: pg.Client): Promise<boolean> {
  try {
    await session.query('CHECKPOINT')
    return true
  } catch (error) {
    if ((error as { code?: string }).code !== '42501') throw error
    return false
  }
}

const SIZES = [1, 10, 100, 1000, 10_000]
const KEPT = [1000, 10_000]
/** So many are acquired in no time. */
const FEW = 1000

interface Held {
  names: string[]
  tokens: string[]
}

async function acquired(session: pg.Client, prefix: string, count: number): Promise<Held> {
  const { rows } = await session.query<Held>(
    `SELECT array_agg($1::text || i) AS names, array_agg((elect.acquire_lease($1::text || i, 'holder', '24 hours')).token) AS tokens FROM generate_series(1, $2::integer) AS i`,
    [prefix, count],
  )
  return rows[0] ?? { names: [], tokens: [] }
}

/** As many leases, kept by one row. What is told of the log is that of a beat. */
async function keptBySession(bench: Bench, count: number): Promise<Runner> {
  const session = await bench.database.connect()
  const { names, tokens } = await acquired(session, `kept ${count} `, count)
  const { rows } = await session.query<{ id: string }>(
    "SELECT elect.open_session('holder', '24 hours') AS id",
  )
  const id = rows[0]?.id
  await session.query('SELECT FROM elect.renew_leases($1, $2, session => $3)', [names, tokens, id])
  await session.end()
  const beat = { text: 'SELECT granted FROM elect.renew_session($1)', values: [id] }
  return repeated(bench, 'SELECT 1', beat, 1)
}

async function leases(bench: Bench, count: number): Promise<Runner> {
  const session = await bench.database.connect()
  const { names, tokens } = await acquired(session, `beat ${count} `, count)
  await session.end()
  return repeated(
    bench,
    'SELECT 1',
    { text: 'SELECT count(granted) FROM elect.renew_leases($1, $2)', values: [names, tokens] },
    count,
  )
}

export const renewals: Scenario = {
  name: 'renewals',
  title: 'One beat of a process, by the leases that it holds',
  figure: FIGURE,
  better: 'less',
  alsoTold: [WAL, WAL_FIRST],
  contestants: [
    {
      name: 'one durable commit',
      how: 'UPDATE of one row',
      open: (bench) =>
        repeated(
          bench,
          'DROP TABLE IF EXISTS one_commit; CREATE TABLE one_commit (id integer PRIMARY KEY, n integer) WITH (fillfactor = 70); INSERT INTO one_commit VALUES (1, 0)',
          { text: 'UPDATE one_commit SET n = n + 1 WHERE id = 1' },
          1,
        ),
    },
    ...SIZES.map(
      (count): Contestant => ({
        name: `pg-elect, ${count.toLocaleString('en-US')}`,
        how: 'renew_leases in one statement, durable',
        async open(bench) {
          if (count > FEW) requireTime(bench)
          return leases(bench, count)
        },
      }),
    ),
    ...KEPT.map(
      (count): Contestant => ({
        name: `pg-elect, session of ${count.toLocaleString('en-US')}`,
        how: 'renew_session: one row keeps them, durable; WAL bytes of the beat',
        async open(bench) {
          if (count > FEW) requireTime(bench)
          return keptBySession(bench, count)
        },
      }),
    ),
  ],
  goals: [
    { contestant: 'pg-elect, 1,000', against: 'one durable commit', ratio: 15 },
    { contestant: 'pg-elect, 1,000', figure: WAL, atMost: 95 },
    { contestant: 'pg-elect, session of 1,000', against: 'one durable commit', ratio: 1.05 },
    { contestant: 'pg-elect, session of 10,000', against: 'pg-elect, session of 1,000', ratio: 1.05 },
    { contestant: 'pg-elect, session of 10,000', figure: WAL, atMost: 130 },
  ],
}
