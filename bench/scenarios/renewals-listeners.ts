/** Do listeners cost those who renew anything? NOTIFY serialises commits, so a renewal that told somebody would show here. */
import { type Call, callersRunner } from '../harness/callers.ts'
import { inOwnDatabase } from '../harness/own-database.ts'
import type { Bench, Contestant, Runner, Scenario } from '../harness/scenario.ts'

const RENEWERS = 8

async function renewing({ database }: Bench, listeners: number): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: RENEWERS + listeners }, () => database.connect()))
  const calls: Call[] = []
  for (const [index, session] of sessions.entries()) {
    const name = `renewed ${index % RENEWERS}`
    if (index < RENEWERS) {
      const { rows } = await session.query<{ token: string }>(
        "SELECT token FROM elect.acquire_lease($1, 'holder', '24 hours')",
        [name],
      )
      const text = 'SELECT granted FROM elect.renew_lease($1, $2)'
      const statement = { name: 'renew', text, values: [name, rows[0]?.token] }
      calls.push(() => session.query(statement))
    } else if (index % 2 === 0) {
      await session.query('LISTEN elect')
    } else {
      await session.query('SELECT elect.listen(ARRAY[$1])', [name])
    }
  }
  return callersRunner('renewals', calls, () => Promise.all(sessions.map((session) => session.end())))
}

const contestant = (listeners: number, how: string): Contestant => ({
  name: `${listeners === 0 ? 'no' : listeners} listeners`,
  how,
  // Who listens in a database is in the way of all who tell something in it.
  open: (bench) => inOwnDatabase(bench, (own) => renewing(own, listeners)),
})

export const renewalsWithListeners: Scenario = {
  name: 'renewals-listeners',
  title: `Renewals by ${RENEWERS} sessions, one lease each, with and without listeners`,
  figure: 'renewals/s',
  better: 'more',
  // Many short ones: the difference that is looked for is a small one.
  rounds: 9,
  roundMs: 250,
  alsoTold: ['p50 ms', 'p99 ms'],
  contestants: [
    contestant(0, 'nobody listens'),
    contestant(16, '8 sessions listen to the channel of all leases, 8 to those of the renewed ones'),
  ],
  goals: [{ contestant: '16 listeners', against: 'no listeners', ratio: 0.95 }],
}
