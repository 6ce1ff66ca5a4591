/**
 * How soon a follower is told: from the moment at which a release is sent until the follower's callback has read that nobody leads. The other
 * sessions of its database listen, each to the channel of its own lease; the server wakes all of them for each notification.
 */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { BenchDatabase } from '../harness/bench-database.ts'
import { requireConnections } from '../harness/connections.ts'
import { closeAll, openElect } from '../harness/elect.ts'
import { inOwnDatabase } from '../harness/own-database.ts'
import { requireTime } from '../harness/quick.ts'
import type { Bench, Contestant, Runner, Scenario } from '../harness/scenario.ts'
import { toldQuantile } from '../harness/told.ts'

const FIGURE = 'p50 ms'
/** The same, from the moment at which the release is answered, and so known to be committed, to whoever releases. */
const SINCE_ANSWER = 'p50 ms since the answer'
/** One way, to a session among the same listeners that does nothing else. */
const RAW = 'raw NOTIFY p50 ms'
/** The server wakes listeners in an order of its own: followers stand among the others in so many places. */
const FOLLOWERS = 5
const CONNECTS_AT_ONCE = 10
/** All listeners have been woken, and are quiet again, before the next one is timed. */
const QUIET_MS_EACH = 0.05

/** One who follows a lease. */
interface Follower {
  readonly lease: string
  /** Settles at the next change, with its moment. */
  told(): Promise<number>
  close(): Promise<void>
}

async function follow(bench: Bench, lease: string): Promise<Follower> {
  const client = openElect(bench)
  const changes = client.election(lease).observe()
  await changes.next()
  return {
    lease,
    async told() {
      await changes.next()
      return performance.now()
    },
    close: () => client.close(),
  }
}

/** @param isDurable - whether a release is on the disk before anybody is told; by the package's client it need not be */
async function following(bench: Bench, listeners: number, isDurable: boolean): Promise<Runner> {
  const { database } = bench
  const sender = await database.connect()
  await requireConnections(sender, listeners)
  if (!isDurable) await sender.query('SET synchronous_commit = off')
  const crowd: pg.Client[] = []
  const followers: Follower[] = []
  const raws: pg.Client[] = []
  const places = Math.min(FOLLOWERS, listeners)
  for (let place = 0; place < places; place++) {
    followers.push(await follow(bench, `followed ${place}`))
    if (place % 2 === 0) raws.push(await database.connect())
    await gather(database, sender, crowd, Math.floor(((listeners - places) * (place + 1)) / places))
  }
  const quietMs = listeners * QUIET_MS_EACH
  const quiet = async () => (quietMs >= 1 ? sleep(quietMs) : undefined)
  let count = 0
  return {
    async round(forMs) {
      const timesMs: number[] = []
      const sinceAnswerMs: number[] = []
      const rawMs: number[] = []
      for (const startMs = performance.now(); performance.now() - startMs < forMs; count++) {
        const follower = followers[count % followers.length] as Follower
        const token = await granted(sender, follower)
        await quiet()
        const { sentMs, answeredMs, toldMs } = await timeRelease(sender, follower, token)
        timesMs.push(toldMs - sentMs)
        sinceAnswerMs.push(toldMs - answeredMs)
        await quiet()
        rawMs.push(await timeRaw(sender, raws[count % raws.length] as pg.Client))
        await quiet()
      }
      return { [FIGURE]: timesMs, [SINCE_ANSWER]: sinceAnswerMs, [RAW]: rawMs }
    },
    async close() {
      await closeAll(followers)
      await Promise.all([sender, ...raws, ...crowd].map((session) => session.end()))
    },
  }
}

/** Sessions that listen, each to another lease, until there are so many. */
async function gather(
  database: BenchDatabase,
  sender: pg.Client,
  crowd: pg.Client[],
  count: number,
): Promise<void> {
  const { rows } = await sender.query<{ channel: string }>(
    "SELECT quote_ident(elect.lease_channel('other ' || i)) AS channel FROM generate_series($1::integer, $2::integer) AS i",
    [crowd.length, count - 1],
  )
  for (let first = 0; first < rows.length; first += CONNECTS_AT_ONCE) {
    const few = rows.slice(first, first + CONNECTS_AT_ONCE).map(async ({ channel }) => {
      const session = await database.connect()
      // As elect.listen does it, which would take so many sessions several seconds to load.
      await session.query(`LISTEN ${channel}`)
      return session
    })
    crowd.push(...(await Promise.all(few)))
  }
}

async function granted(sender: pg.Client, { lease, told }: Follower): Promise<string> {
  const text = "SELECT token FROM elect.acquire_lease($1, 'leader', '1 hour')"
  const [{ rows }] = await Promise.all([sender.query({ name: 'acquire', text, values: [lease] }), told()])
  return rows[0].token
}

async function timeRelease(
  sender: pg.Client,
  { lease, told }: Follower,
  token: string,
): Promise<{ sentMs: number; answeredMs: number; toldMs: number }> {
  const text = 'SELECT elect.release_lease($1, $2)'
  const telling = told()
  const sentMs = performance.now()
  const answering = sender
    .query({ name: 'release', text, values: [lease, token] })
    .then(() => performance.now())
  const [toldMs, answeredMs] = await Promise.all([telling, answering])
  return { sentMs, answeredMs, toldMs }
}

async function timeRaw(sender: pg.Client, listener: pg.Client): Promise<number> {
  await listener.query('LISTEN raw')
  const hearing = once(listener, 'notification').then(() => performance.now())
  const sentMs = performance.now()
  const answered = sender.query('NOTIFY raw')
  const heardMs = await hearing
  await answered
  await listener.query('UNLISTEN raw')
  return heardMs - sentMs
}

/** Two sessions that have the server for themselves, and how long something takes between them. */
async function pair(
  { database }: Bench,
  prepare: (here: pg.Client, there: pg.Client) => Promise<() => Promise<unknown>>,
): Promise<Runner> {
  const [here, there] = [await database.connect(), await database.connect()]
  const once = await prepare(here, there)
  return {
    async round(forMs) {
      const timesMs: number[] = []
      for (const startMs = performance.now(); performance.now() - startMs < forMs; ) {
        const sentMs = performance.now()
        await once()
        timesMs.push(performance.now() - sentMs)
      }
      return { [FIGURE]: timesMs }
    },
    async close() {
      for (const session of [here, there]) {
        // Behind what was asked last, and not waited for.
        await session.query('SELECT')
        await session.end()
      }
    },
  }
}

async function rawRoundTrip(here: pg.Client, there: pg.Client): Promise<() => Promise<unknown>> {
  await here.query('LISTEN here')
  await there.query('LISTEN there')
  there.on('notification', () => void there.query('NOTIFY here'))
  return () => Promise.all([once(here, 'notification'), here.query('NOTIFY there')])
}

/** As little as being told of a change could be. */
const bareFollower = (isDurable: boolean) => async (here: pg.Client, there: pg.Client) => {
  await here.query('CREATE TABLE told (id integer PRIMARY KEY, n integer) WITH (fillfactor = 70)')
  await here.query('INSERT INTO told VALUES (1, 0)')
  await here.query(`SET synchronous_commit = ${isDurable ? 'on' : 'off'}`)
  await there.query('LISTEN there')
  const change = {
    name: 'change',
    text: "WITH changed AS (UPDATE told SET n = n + 1 WHERE id = 1) SELECT pg_notify('there', '1')",
  }
  const read = { name: 'read', text: 'SELECT n FROM told WHERE id = 1' }
  const told = async () => {
    await once(there, 'notification')
    await there.query(read)
  }
  return () => Promise.all([told(), here.query(change)])
}

const contestant = (listeners: number, { isDurable = false, isLong = false } = {}): Contestant => ({
  name: `pg-elect, ${listeners.toLocaleString('en-US')} listening${isDurable ? ', durable' : ''}`,
  how: `release_lease, ${isDurable ? 'durable' : 'asynchronous as by the client'}, to the next value of election.observe(), which has read the lease again`,
  async open(bench) {
    if (isLong) requireTime(bench)
    return inOwnDatabase(bench, (own) => following(own, listeners, isDurable))
  },
})

const bare = (name: string, how: string, isDurable: boolean): Contestant => ({
  name,
  how,
  open: (bench) => inOwnDatabase(bench, (own) => pair(own, bareFollower(isDurable))),
})

export const notification: Scenario = {
  name: 'notification',
  title: 'A follower is told of a release, by how many sessions listen to leases of their own',
  figure: FIGURE,
  better: 'less',
  rounds: 2,
  roundMs: 300,
  alsoTold: [toldQuantile('p99 ms', FIGURE, 0.99), SINCE_ANSWER, RAW],
  contestants: [
    {
      name: 'raw NOTIFY',
      how: 'there and back between two sessions, one NOTIFY each way',
      open: (bench) => inOwnDatabase(bench, (own) => pair(own, rawRoundTrip)),
    },
    bare(
      'bare follower',
      'an asynchronous UPDATE of one row with a NOTIFY; who hears it reads the row',
      false,
    ),
    bare('bare follower, durable', 'the same, but the UPDATE is durable, before anybody is told', true),
    contestant(1),
    contestant(1, { isDurable: true }),
    contestant(100),
    contestant(1000, { isLong: true }),
  ],
  goals: [
    { contestant: 'pg-elect, 1 listening', against: 'raw NOTIFY', ratio: 1.3 },
    { contestant: 'pg-elect, 1,000 listening', figure: FIGURE, atMost: 3 },
  ],
}
