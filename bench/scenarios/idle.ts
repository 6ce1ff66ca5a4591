/**
 * What processes cost that only wait: 100 of one lease, each with a client and so a connection of its own. Nobody renews the lease meanwhile,
 * since it has no expiry: what is counted and written is all theirs.
 */
import { setTimeout as passing } from 'node:timers/promises'
import pg from 'pg'
import type { PgElect } from '../../src/index.ts'
import { closeAll, openElect } from '../harness/elect.ts'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Figures, Runner, Scenario, Told } from '../harness/scenario.ts'
import { walPosition } from '../harness/wal.ts'

const COUNT = 100
/** All at once would have their first requests wait for each other. */
const COUNT_AT_ONCE = 10
/** At least a second: below that, a connection is asked less often, in terms of the TTL, than by default whether it still listens. */
const [TTL_MS, TTL_MS_QUICK] = [2000, 1000]
const STATEMENTS = 'statements each a TTL'
const WAL = 'WAL bytes a TTL'

/** Begins to wait, and calls back once it has; settles when it was stopped. */
type Wait = (elect: PgElect, name: string, begun: () => void, signal: AbortSignal) => Promise<unknown>

/** @param windows - how often it is measured, for one TTL each time */
async function waiting(bench: Bench, name: string, wait: Wait, windows: number): Promise<Runner> {
  const session = await bench.database.connect()
  await session.query("SELECT elect.compare_and_swap($1, 'leader', NULL)", [name])
  const ttlMs = bench.isQuick ? TTL_MS_QUICK : TTL_MS
  let isFirst = true
  return {
    async round(): Promise<Figures> {
      // There is nothing to warm up.
      if (isFirst) {
        isFirst = false
        return {}
      }
      // In the round, since the other contestants would be counted else.
      const crowd = await gather(bench, name, wait, ttlMs)
      const figures = { [STATEMENTS]: [] as number[], [WAL]: [] as number[] }
      for (let window = 0; window < windows; window++) {
        const before = await walPosition(session)
        const statements = await countStatements(() => passing(ttlMs))
        figures[STATEMENTS]?.push(statements / COUNT)
        figures[WAL]?.push((await walPosition(session)) - before)
      }
      await crowd.disperse()
      return figures
    },
    close: () => session.end(),
  }
}

async function gather(
  bench: Bench,
  name: string,
  wait: Wait,
  ttlMs: number,
): Promise<{ disperse(): Promise<void> }> {
  const clients: PgElect[] = []
  const waits: Promise<unknown>[] = []
  const stop = new AbortController()
  while (clients.length < COUNT) {
    const few = Array.from({ length: COUNT_AT_ONCE }, () => openElect(bench, { ttlMs }))
    clients.push(...few)
    const beginning = few.map(
      (client) => new Promise<void>((begun) => waits.push(wait(client, name, begun, stop.signal))),
    )
    await Promise.all(beginning)
  }
  return {
    async disperse() {
      stop.abort()
      await Promise.allSettled(waits)
      await closeAll(clients)
    },
  }
}

/** Of all clients in this process. The server's own counters come too late: a session tells them once a second, or ten after its last. */
async function countStatements(during: () => Promise<void>): Promise<number> {
  const { prototype } = pg.Client
  const query = prototype.query
  let count = 0
  prototype.query = function (this: pg.Client, ...args: never[]) {
    count += 1
    return (query as (...args: never[]) => unknown).apply(this, args)
  } as typeof query
  try {
    await during()
  } finally {
    prototype.query = query
  }
  return count
}

const observe: Wait = async (elect, name, begun, signal) => {
  for await (const _ of elect.election(name).observe({ signal })) begun()
}

const campaign: Wait = async (elect, name, begun, signal) => {
  const election = elect.election(name)
  const elected = election.campaign({ signal })
  // It stands in line by the time that this is answered, as it asked for that first, on the same connection.
  await election.leader().catch(() => undefined)
  begun()
  await elected
}

/** The least of the windows: the server writes something of its own now and then (what runs, once in 15 s at most). */
const leastWal: Told = {
  figure: WAL,
  over: (rounds) => Math.min(...rounds.flatMap((round) => round[WAL] ?? [])),
}

export const idle: Scenario = {
  name: 'idle',
  title: `${COUNT} processes that wait for one lease, which nobody renews`,
  figure: STATEMENTS,
  better: 'less',
  rounds: 1,
  roundMs: TTL_MS,
  alsoTold: [leastWal],
  contestants: [
    {
      name: 'followers',
      how: 'election.observe(): they are told of changes',
      open: (bench) => waiting(bench, 'idle followers', observe, 2),
    },
    {
      name: 'candidates',
      how: 'election.campaign(): each keeps its place in line',
      async open(bench) {
        requireTime(bench)
        return waiting(bench, 'idle candidates', campaign, 1)
      },
    },
  ],
  goals: [
    { contestant: 'followers', figure: STATEMENTS, atMost: 1 },
    { contestant: 'followers', figure: WAL, atMost: 0 },
  ],
}
