/** The process of a leader is killed (SIGKILL): how long until the next one leads. */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Blueprint } from '../contenders/blueprint.ts'
import type { Contender } from '../contenders/contender.ts'
import { openElectionContender } from '../contenders/elect.ts'
import { closeAll } from '../harness/elect.ts'
import { inOwnDatabase, withOwnDatabase } from '../harness/own-database.ts'
import { requireTime } from '../harness/quick.ts'
import { type Bench, type Contestant, type Runner, type Scenario, Unavailable } from '../harness/scenario.ts'
import {
  AFTER_EXPIRY_P99,
  killing,
  type Step,
  TAKEOVER_FIGURE,
  TAKEOVER_TOLD,
  takeoverRunner,
  waitFor,
} from '../harness/takeovers.ts'
import { createRiverTable, RIVER_TTL_MS } from '../peers/river.ts'

const BY_CONNECTION = 'pg-elect, by connection'
const BY_EXPIRY = 'pg-elect, TTL 1 s'
const DEAD = 'pg-elect, dead candidate'
const ETCD = 'npm etcd3 election, 2 s'
const ZOOKEEPER = 'ZooKeeper, 4 s'

/** One kill after the other, each in a process of its own, takes about this long. */
const KILL_MS = 35
/** So many are killed before any of it counts. */
const WARM_UP_KILLS = 2
/** Names that one process leads, where its death is followed by waiting only. */
const NAMES = 8
/** Of two processes of another system: half a tick of ZooKeeper, which ends sessions at its ticks. */
const PROCESSES_APART_MS = 1000
/** Several that run out at the same moment would be in each other's way. */
const APART_MS = 50

async function byConnection({ database }: Bench): Promise<Runner> {
  const { connectionString: address } = database
  const blueprint: Blueprint = { kind: 'elect by connection', address, ttlMs: 15_000 }
  let isFirst = true
  const processes = (forMs: number) => {
    const count = isFirst ? WARM_UP_KILLS : Math.max(2, Math.round(forMs / KILL_MS))
    isFirst = false
    return count
  }
  return takeoverRunner(await killing({ blueprint, processes, perProcess: 1, isOneByOne: true }), undefined)
}

const byExpiry =
  (ttlMs: number, perProcess: number): Contestant['open'] =>
  async ({ database }) => {
    const blueprint: Blueprint = { kind: 'elect by expiry', address: database.connectionString, ttlMs }
    return takeoverRunner(
      await killing({ blueprint, processes: () => 1, perProcess, isOneByOne: false }),
      await database.connect(),
    )
  }

async function byPeer(blueprint: Blueprint): Promise<Runner> {
  const succession = await killing({
    blueprint,
    processes: () => 2,
    perProcess: NAMES,
    isOneByOne: false,
    apartMs: PROCESSES_APART_MS,
  })
  return takeoverRunner(succession, undefined)
}

/** The leader releases, but the first in line is dead: the next one leads once the time to accept in is over. */
async function deadCandidate({ database }: Bench): Promise<Runner> {
  const stands: { contender: Contender; session: pg.Client }[] = []
  let names = 0
  const prepareOne = async (
    { contender, session }: (typeof stands)[number],
    index: number,
  ): Promise<Step> => {
    const name = `dead candidate ${++names}`
    const { rows } = await session.query('SELECT token FROM elect.acquire_lease($1, $2)', [name, 'leader'])
    // It stands in line, and never says another word.
    await session.query('SELECT FROM elect.acquire_lease($1, $2, wait => true)', [name, 'dead'])
    return {
      successors: [waitFor(contender, name)],
      async end() {
        await sleep(index * APART_MS)
        const atMs = performance.now()
        await session.query('SELECT elect.release_lease($1, $2)', [name, rows[0]?.token])
        return atMs
      },
    }
  }
  return takeoverRunner(
    {
      isOneByOne: false,
      async prepare() {
        while (stands.length < NAMES) {
          const contender = await openElectionContender(database.connectionString, 15_000, 'expiry')
          stands.push({ contender, session: await database.connect() })
        }
        return Promise.all(stands.map(prepareOne))
      },
      async close() {
        await closeAll(stands.map(({ contender }) => contender))
        await Promise.all(stands.map(({ session }) => session.end()))
      },
    },
    await database.connect(),
  )
}

/** Only with `--long`. */
const takingLong = (ttlMs: number, open: Contestant['open']): Contestant['open'] => {
  return async (bench) => {
    if (!bench.isLong) throw new Unavailable(`takes ${ttlMs / 1000} s a round: only with --long`)
    return open(bench)
  }
}

export const takeover: Scenario = {
  name: 'takeover',
  title: 'A leader is killed: how long until the next one leads',
  figure: TAKEOVER_FIGURE,
  better: 'less',
  alsoTold: TAKEOVER_TOLD,
  // What only waits has many names instead of many rounds.
  rounds: 1,
  roundMs: 900,
  contestants: [
    { name: BY_CONNECTION, how: "takeover: 'connection', TTL 15 s", open: withOwnDatabase(byConnection) },
    { name: BY_EXPIRY, how: 'ttlMs: 1000', isIdle: true, open: withOwnDatabase(byExpiry(1000, 3 * NAMES)) },
    {
      name: 'pg-elect, default TTL',
      how: '15 s',
      isIdle: true,
      open: takingLong(15_000, withOwnDatabase(byExpiry(15_000, NAMES))),
    },
    {
      name: DEAD,
      how: 'a release, but the first in line is dead: 2 s to accept in',
      isIdle: true,
      async open(bench) {
        requireTime(bench)
        return inOwnDatabase(bench, deadCandidate)
      },
    },
    {
      name: ETCD,
      how: 'the least TTL that the server takes',
      isIdle: true,
      async open(bench) {
        requireTime(bench)
        return byPeer({ kind: 'etcd3', address: (await bench.peers.etcd()).address, ttlMs: 2000 })
      },
    },
    {
      name: ZOOKEEPER,
      how: 'lock recipe; the shortest session that the server takes, two of its ticks',
      isIdle: true,
      async open(bench) {
        requireTime(bench)
        return byPeer({ kind: 'zookeeper', address: (await bench.peers.zooKeeper()).address, ttlMs: 4000 })
      },
    },
    {
      name: 'npm redlock, 1 s',
      how: 'a lock of 1 s, extended each 0.5 s',
      isIdle: true,
      open: async ({ peers }) =>
        byPeer({ kind: 'redlock', address: (await peers.redis()).address, ttlMs: 1000 }),
    },
    {
      name: "River's SQL",
      how: 'its default: 15 s, tried each 5 to 6 s',
      isIdle: true,
      open: takingLong(RIVER_TTL_MS, async ({ database }) => {
        const session = await database.connect()
        await createRiverTable(session)
        await session.end()
        return byPeer({ kind: 'river', address: database.connectionString, ttlMs: RIVER_TTL_MS })
      }),
    },
  ],
  goals: [
    { contestant: BY_CONNECTION, figure: 'p99 ms', atMost: 100 },
    { contestant: BY_CONNECTION, against: ETCD, ratio: 0.01 },
    { contestant: BY_CONNECTION, against: ZOOKEEPER, ratio: 0.01 },
    { contestant: BY_EXPIRY, figure: AFTER_EXPIRY_P99, atMost: 20 },
    { contestant: DEAD, figure: AFTER_EXPIRY_P99, atMost: 100 },
  ],
}
