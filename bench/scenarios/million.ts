/** Does a table of a million leases cost those who use a few of them anything? And what does a lease take up? */
import type { PgElect } from '../../src/index.ts'
import { type Call, callersRunner } from '../harness/callers.ts'
import { openElect } from '../harness/elect.ts'
import { inOwnDatabase } from '../harness/own-database.ts'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Figures, Runner, Scenario } from '../harness/scenario.ts'
import { fillLeases, leaseName, tableBytes } from '../support/table-of-leases.ts'

const CALLERS = 16
/** So many leases are in use, of all in the table, one here and one there. */
const USED = 500
const ANY = 'cycles/s of any'
const REFUSALS = 'refusals/s of any'
const BYTES = 'bytes a lease'

async function using(bench: Bench, count: number): Promise<Runner> {
  const session = await bench.database.connect()
  await fillLeases(session, { count, holders: 1000, isHalfExpired: true })
  const bytes = (await tableBytes(session)) / count
  await session.end()
  const client = openElect(bench)

  // Held and expired ones take turns in the table.
  const pairs = count / 2
  const anyPair = () => Math.floor(Math.random() * pairs)
  const usedPair = () => Math.floor(Math.random() * USED) * (pairs / USED)
  const busy = new Set<string>()
  const cycles = many(() => cycle(client, free(busy, usedPair), busy))
  const anyCycles = many(() => cycle(client, free(busy, anyPair), busy))
  const refusals = many(() => refusal(client, leaseName(2 * anyPair() + 1)))
  // Each page that they touch is written to the log as a whole at first: not in a round.
  const used = Array.from({ length: USED }, (_, index) => leaseName(2 * (index * (pairs / USED) + 1)))
  await Promise.all(used.map((name) => cycle(client, name, busy)))
  return {
    async round(forMs): Promise<Figures> {
      const cycled = await cycles.round(forMs / 2)
      const any = await anyCycles.round(forMs / 4)
      const refused = await refusals.round(forMs / 4)
      const told = { [ANY]: any['calls/s'] ?? [], [REFUSALS]: refused['calls/s'] ?? [] }
      return { 'cycles/s': cycled['calls/s'] ?? [], ...told, [BYTES]: bytes }
    },
    close: () => client.close(),
  }
}

function many(call: Call): Runner {
  return callersRunner(
    'calls',
    Array.from({ length: CALLERS }, () => call),
    async () => undefined,
  )
}

/** The name of an expired or vacant lease that no other caller is at. */
function free(busy: ReadonlySet<string>, pair: () => number): string {
  for (;;) {
    const name = leaseName(2 * (pair() + 1))
    if (!busy.has(name)) return name
  }
}

async function cycle(client: PgElect, name: string, busy: Set<string>): Promise<void> {
  busy.add(name)
  const lease = await client.tryAcquire(name)
  if (lease === null) throw new Error(`${name} was refused`)
  await lease.release()
  busy.delete(name)
}

async function refusal(client: PgElect, name: string): Promise<void> {
  if ((await client.tryAcquire(name)) !== null) throw new Error(`${name} was granted`)
}

const contestant = (count: number, isLong = false): Contestant => ({
  name: `${count.toLocaleString('en-US')} leases`,
  how: `${USED} of them in use; any: at random from all, of which each page is written to the log as a whole at first`,
  async open(bench) {
    if (isLong) requireTime(bench)
    // Its fill and its size are to be in nobody's way.
    return inOwnDatabase(bench, (own) => using(own, count))
  },
})

export const million: Scenario = {
  name: 'million',
  title: `Acquire and release, ${CALLERS} callers of one client, by the leases in the table`,
  figure: 'cycles/s',
  better: 'more',
  rounds: 4,
  roundMs: 600,
  alsoTold: [ANY, REFUSALS, BYTES],
  contestants: [contestant(1000), contestant(1_000_000, true)],
  goals: [
    { contestant: '1,000,000 leases', against: '1,000 leases', ratio: 0.95 },
    { contestant: '1,000,000 leases', figure: BYTES, atMost: 250 },
  ],
}
