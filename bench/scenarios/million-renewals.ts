/** Does the table stay as it is while leases are renewed a million times? Processes renew a thousand leases each, by one statement. */
import type pg from 'pg'
import { inOwnDatabase } from '../harness/own-database.ts'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Figures, Runner, Scenario } from '../harness/scenario.ts'
import { fillLeases, leaseName, tableBytes } from '../support/table-of-leases.ts'

const LEASES = 100_000
const BATCH = 1000
const HOLDERS = LEASES / BATCH
const RENEWALS = 1_000_000
const SESSIONS = 4
const HOT = 'HOT %'
const GROWTH = 'growth %'
const DONE = 'renewals'

interface Batch {
  readonly names: string[]
  readonly tokens: string[]
}

/** @param index - of one lease of a holder in the table, from 1 on */
async function renewing(
  { database }: Bench,
  index: (holder: number, lease: number) => number,
): Promise<Runner> {
  const observer = await database.connect()
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => database.connect()))
  await fillLeases(observer, { count: LEASES, holders: HOLDERS, isHalfExpired: false })
  const batches: Batch[] = []
  for (let holder = 0; holder < HOLDERS; holder++) {
    batches.push(await batchOf(observer, (lease) => leaseName(index(holder, lease))))
  }
  const bytesAtFirst = await tableBytes(observer)
  let sent = 0
  let done = 0
  const renew = async (session: pg.Client, untilMs: number) => {
    while (performance.now() < untilMs && sent < RENEWALS) {
      const { names, tokens } = batches[(sent / BATCH) % HOLDERS] as Batch
      sent += BATCH
      const text = 'SELECT count(*) FILTER (WHERE granted) AS granted FROM elect.renew_leases($1, $2)'
      const { rows } = await session.query({ name: 'renew', text, values: [names, tokens] })
      done += Number(rows[0]?.granted)
    }
    // What it has counted is seen by others from now on, not some seconds later.
    await session.query('SELECT pg_stat_force_next_flush()')
  }
  return {
    // From the first renewal on, those of the round that is not counted elsewhere too: it is the whole that matters.
    async round(forMs): Promise<Figures> {
      const untilMs = performance.now() + forMs
      await Promise.all(sessions.map((session) => renew(session, untilMs)))
      const growth = (await tableBytes(observer)) / bytesAtFirst - 1
      return { [HOT]: await hotPercent(observer), [GROWTH]: growth * 100, [DONE]: done }
    },
    async close() {
      await Promise.all([observer, ...sessions].map((session) => session.end()))
    },
  }
}

async function batchOf(session: pg.Client, name: (lease: number) => string): Promise<Batch> {
  const names = Array.from({ length: BATCH }, (_, lease) => name(lease))
  const { rows } = await session.query<{ tokens: string[] }>({
    name: 'tokens',
    text: `SELECT array_agg(l.token ORDER BY n.place) AS tokens
      FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place) JOIN elect.leases AS l ON l.name = n.name`,
    values: [names],
  })
  return { names, tokens: rows[0]?.tokens ?? [] }
}

/** How many of the updates stayed on their page and touched no index. */
async function hotPercent(session: pg.Client): Promise<number> {
  await session.query('SELECT pg_stat_clear_snapshot()')
  const { rows } = await session.query<{ percent: number }>(
    `SELECT (100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0))::float8 AS percent
    FROM pg_stat_user_tables WHERE relid = 'elect.leases'::regclass`,
  )
  return rows[0]?.percent ?? Number.NaN
}

const contestant = (
  name: string,
  how: string,
  index: Parameters<typeof renewing>[1],
  isLong = false,
): Contestant => ({
  name,
  how,
  async open(bench) {
    if (isLong) requireTime(bench)
    return inOwnDatabase(bench, (own) => renewing(own, index))
  },
})

export const millionRenewals: Scenario = {
  name: 'million-renewals',
  title: 'The table of 100,000 leases after a million renewals, a thousand of them in one statement',
  figure: HOT,
  better: 'more',
  rounds: 1,
  // No longer than that, and less where the million is done.
  roundMs: 3000,
  alsoTold: [GROWTH, DONE],
  contestants: [
    contestant(
      'leases of a process here and there',
      'as processes come to have them that take one after the other',
      (holder, lease) => lease * HOLDERS + holder + 1,
    ),
    contestant(
      'leases of a process side by side',
      'as one process would have them that took a thousand at once in an empty table',
      (holder, lease) => holder * BATCH + lease + 1,
      true,
    ),
  ],
  goals: [
    { contestant: 'leases of a process here and there', figure: HOT, atLeast: 99.9 },
    { contestant: 'leases of a process here and there', figure: GROWTH, atMost: 0 },
  ],
}
