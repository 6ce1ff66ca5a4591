/** One beat of a process that holds so many leases: they are renewed by one statement. */
import type { Bench, Figures, Runner, Scenario } from '../harness/scenario.ts'
import { quantile } from '../harness/statistics.ts'

async function repeated(
  bench: Bench,
  prepare: string,
  beat: { text: string; values?: unknown[] },
  leases: number,
): Promise<Runner> {
  const session = await bench.database.connect()
  await session.query(prepare)
  const statement = { name: 'beat', ...beat }
  const wal = async () =>
    Number((await session.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS at")).rows[0]?.at)
  return {
    async round(forMs): Promise<Figures> {
      const timesMs: number[] = []
      const before = await wal()
      const startMs = performance.now()
      while (performance.now() - startMs < forMs) {
        const begunMs = performance.now()
        await session.query(statement)
        timesMs.push(performance.now() - begunMs)
      }
      return {
        'ms a beat': quantile(timesMs, 0.5),
        'WAL bytes a lease': ((await wal()) - before) / timesMs.length / leases,
      }
    },
    close: () => session.end(),
  }
}

const SIZES = [1, 10, 100, 1000, 10_000]

async function leases(bench: Bench, count: number): Promise<Runner> {
  const prefix = `beat ${count} `
  const session = await bench.database.connect()
  const { rows } = await session.query<{ names: string[]; tokens: string[] }>(
    `SELECT array_agg($1::text || i) AS names, array_agg((elect.acquire_lease($1::text || i, 'holder', '24 hours')).token) AS tokens FROM generate_series(1, $2::integer) AS i`,
    [prefix, count],
  )
  await session.end()
  const [{ names, tokens } = { names: [], tokens: [] }] = rows
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
  figure: 'ms a beat',
  better: 'less',
  alsoTold: ['WAL bytes a lease'],
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
    ...SIZES.map((count) => ({
      name: `pg-elect, ${count.toLocaleString('en-US')}`,
      how: 'renew_leases in one statement, durable',
      open: (bench: Bench) => leases(bench, count),
    })),
  ],
  goals: [{ contestant: 'pg-elect, 1,000', against: 'one durable commit', ratio: 15 }],
}
