/** One name that all want: how quickly, and how fairly, it goes from hand to hand. */
import type { Contender } from '../contenders/contender.ts'
import { openBareContender } from '../contenders/bare.ts'
import { type MutexWay, openMutexContender } from '../contenders/elect.ts'
import { openCampaignContender, openLockContender } from '../contenders/etcd.ts'
import { openRedlockContender } from '../contenders/redlock.ts'
import { openSqlContender, type SqlWay } from '../contenders/sql.ts'
import { openRecipeContender } from '../contenders/zookeeper.ts'
import { requireConnections } from '../harness/connections.ts'
import { CONTEST_FIGURE, CONTEST_TOLD, openContest } from '../harness/contest.ts'
import { inOwnDatabase } from '../harness/own-database.ts'
import { requireLong, requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Goal, Runner, Scenario } from '../harness/scenario.ts'
import { SNAPSHOT_TOLD, watchingSnapshots } from '../harness/snapshots.ts'

/** What a quick run has, which is for seeing that all code runs. */
const FEWEST = 2
/** The crowd that all others are compared with. */
const FEWER = 16

/** What opens a contender, once what all of them need is up. */
type Opener = (bench: Bench) => Promise<(index: number) => Promise<Contender>>

const byMutex =
  (way: MutexWay): Opener =>
  async ({ database }) =>
  () =>
    openMutexContender(database.connectionString, way)

const bySql =
  (way: SqlWay): Opener =>
  async ({ database }) =>
  (index) =>
    openSqlContender(database.connectionString, way, index)

const QUEUE = 'pg-elect queue'
const LINE = 'pg-elect line'
const QUEUE_SQL = `${QUEUE}, SQL alone`
const LINE_SQL = `${LINE}, SQL alone`
const HERD = 'NOTIFY herd'
const LOCK = 'etcd v3lock'
const RECIPE = 'ZooKeeper lock recipe'
const BARE = 'bare advisory lock'

interface Way {
  readonly name: string
  readonly how: string
  readonly opener: Opener
  /** Whether contenders wait inside a statement. */
  readonly holdsSnapshots?: true
  /** It is another system, and has nothing to do with PostgreSQL. */
  readonly isPeer?: true
  /** Nobody in it listens, so that it is in nobody's way. */
  readonly isSilent?: true
  /** A round of many takes it long, and shows what one of few shows. */
  readonly isSlow?: true
}

const WAYS: readonly Way[] = [
  {
    name: QUEUE,
    how: "mutex with wait: 'queue': the server's own lock queue, then a durable grant; a client for each",
    opener: byMutex('queue'),
    holdsSnapshots: true,
  },
  {
    name: LINE,
    how: "mutex as it is by default: the table's line, the releaser grants, durable; a client for each",
    opener: byMutex('line'),
  },
  {
    name: HERD,
    how: 'acquire_lease without waiting: all are told of a release, and all try',
    opener: bySql('herd'),
  },
  {
    name: BARE,
    how: 'as little as a hand-off could be: pg_advisory_lock and a durable UPDATE of one row, in one trip; pg_advisory_unlock',
    opener:
      async ({ database }) =>
      () =>
        openBareContender(database.connectionString),
    holdsSnapshots: true,
    isSilent: true,
  },
  {
    name: LOCK,
    how: "the server's lock service by gRPC, a session for each; durable",
    isPeer: true,
    opener: async ({ peers }) => {
      const { address } = await peers.etcd()
      return () => openLockContender(address)
    },
  },
  {
    name: 'npm etcd3 election',
    how: 'campaign and resign: a lease for each campaign; durable',
    isPeer: true,
    isSlow: true,
    opener: async ({ peers }) => {
      const { address } = await peers.etcd()
      return () => openCampaignContender(address)
    },
  },
  {
    name: RECIPE,
    how: 'sequential nodes, each watches the one before it; durable',
    isPeer: true,
    opener: async ({ peers }) => {
      const { address } = await peers.zooKeeper()
      return () => openRecipeContender(address)
    },
  },
  {
    name: 'npm redlock',
    how: 'one server, tries again after 100 to 300 ms, its default; fsync always',
    isPeer: true,
    isSlow: true,
    opener: async ({ peers }) => {
      const { address } = await peers.redis()
      return () => openRedlockContender(address)
    },
  },
]

/** What the client adds, and what a lease adds to a lock. */
const PARTS: readonly Way[] = [
  { name: QUEUE_SQL, how: 'acquire_queued, release_queued', opener: bySql('queue') },
  { name: LINE_SQL, how: 'acquire_lease with wait, release_lease', opener: bySql('line') },
  {
    name: 'pg-elect fastMutex',
    how: 'no more than the advisory lock: nothing is written, there is no token',
    opener: byMutex('fast'),
    isSilent: true,
  },
]

/** @param crowd - the size that its scenario is about */
const contestant = (way: Way, name: string, clients: number, crowd = clients): Contestant => ({
  name,
  how: way.how,
  async open(bench) {
    // What runs with two need not run with more.
    if (crowd > FEWER || (crowd > FEWEST && WAYS.includes(way))) requireTime(bench)
    if (crowd > FEWER && way.isSlow) requireLong(bench)
    const open = async (own: Bench): Promise<Runner> => {
      if (!way.isPeer) await requireRoom(own, clients)
      const runner = await openContest(clients, await way.opener(own), `${name} ${clients}`)
      return way.holdsSnapshots ? watchingSnapshots(own.database, runner) : runner
    }
    // Whoever listens in a database is woken by all that is told in it, also by other contestants.
    return way.isPeer || way.isSilent ? open(bench) : inOwnDatabase(bench, open)
  },
})

/** A client that waits in the queue has a second connection for that. */
async function requireRoom({ database }: Bench, clients: number): Promise<void> {
  const session = await database.connect()
  try {
    await requireConnections(session, 2 * clients)
  } finally {
    await session.end()
  }
}

const fair = (...contestants: string[]): Goal[] =>
  contestants.flatMap((name) => [
    { contestant: name, figure: 'Jain', atLeast: 0.99 },
    { contestant: name, figure: 'overlaps', atMost: 0 },
  ])

const contest = (
  clients: number,
  length: { rounds: number; roundMs: number },
  goals: readonly Goal[],
  further: readonly Contestant[] = [],
): Scenario => ({
  name: `hand-off-${clients}`,
  title: `One name goes round among ${clients} clients`,
  figure: CONTEST_FIGURE,
  better: 'more',
  alsoTold: [...CONTEST_TOLD, SNAPSHOT_TOLD],
  contestants: [...WAYS.map((way) => contestant(way, way.name, clients)), ...further],
  goals: [...goals, ...fair(QUEUE, LINE), { contestant: QUEUE, figure: SNAPSHOT_TOLD.figure, atMost: 1000 }],
  ...length,
})

const MANY = 64

export const handOffs: readonly Scenario[] = [
  // Long enough for those who try again each 100 to 300 ms.
  contest(FEWEST, { rounds: 3, roundMs: 400 }, []),
  contest(
    FEWER,
    { rounds: 3, roundMs: 300 },
    [
      { contestant: QUEUE, against: LOCK, ratio: 15 },
      { contestant: QUEUE, against: RECIPE, ratio: 2.5 },
      { contestant: LINE, against: RECIPE, ratio: 1.2 },
      // The same code but for the wait.
      { contestant: QUEUE_SQL, against: HERD, ratio: 6 },
      { contestant: LINE_SQL, against: HERD, ratio: 3 },
    ],
    PARTS.map((way) => contestant(way, way.name, FEWER)),
  ),
  contest(
    MANY,
    { rounds: 2, roundMs: 350 },
    [
      { contestant: QUEUE, against: `${QUEUE}, ${FEWER} clients`, ratio: 0.8 },
      { contestant: LINE, against: `${LINE}, ${FEWER} clients`, ratio: 0.8 },
    ],
    WAYS.filter(({ name }) => name === QUEUE || name === LINE).map((way) =>
      contestant(way, `${way.name}, ${FEWER} clients`, FEWER, MANY),
    ),
  ),
]
