/** A lease is acquired and released, over and over, by callers that each have a name of their own: nobody is in the way. */
import { type Call, callersRunner } from '../harness/callers.ts'
import { closeAll, openElect } from '../harness/elect.ts'
import type { Bench, Contestant, Runner, Scenario } from '../harness/scenario.ts'
import { advisoryLockCycles } from '../peers/advisory-lock.ts'
import { etcdCycles } from '../peers/etcd.ts'
import { pglockCycles } from '../peers/pglock.ts'
import { redisCycles } from '../peers/redis.ts'
import { riverCycles } from '../peers/river.ts'
import { zooKeeperCycles } from '../peers/zookeeper.ts'

const UNIT = 'cycles'

/** @param connections - how many clients the callers share */
async function electCycles(bench: Bench, callers: number, connections: number): Promise<Runner> {
  const clients = Array.from({ length: connections }, () => openElect(bench))
  const cycle = (index: number): Call => {
    const client = clients[index % connections] as (typeof clients)[number]
    const name = `uncontended ${connections} ${index}`
    return async () => {
      const lease = await client.tryAcquire(name)
      if (lease === null) throw new Error(`${name} was refused`)
      await lease.release()
    }
  }
  const calls = Array.from({ length: callers }, (_, index) => cycle(index))
  return callersRunner(UNIT, calls, () => closeAll(clients))
}

/** As little as a lease could be: one durable and one asynchronous update of a row, through the same driver. */
async function bareUpdates({ database }: Bench, callers: number): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: callers }, () => database.connect()))
  const table = `bare_${callers}`
  const [first] = sessions
  await first?.query(
    `DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id integer PRIMARY KEY, n integer) WITH (fillfactor = 70)`,
  )
  await first?.query(`INSERT INTO ${table} SELECT id, 0 FROM generate_series(0, ${callers}) AS id`)
  const calls = sessions.map((session, id): Call => {
    const update = { name: 'update', text: `UPDATE ${table} SET n = n + 1 WHERE id = ${id}` }
    const lazily = {
      name: 'lazily',
      text: `WITH lazy AS (SELECT set_config('synchronous_commit', 'off', true)) UPDATE ${table} SET n = n + 1 FROM lazy WHERE id = ${id}`,
    }
    return async () => {
      await session.query(update)
      await session.query(lazily)
    }
  })
  return callersRunner(UNIT, calls, () => Promise.all(sessions.map((session) => session.end())))
}

const elect = (name: string, how: string, callers: number, connections: number): Contestant => ({
  name,
  how,
  open: (bench) => electCycles(bench, callers, connections),
})

const bare = (callers: number): Contestant => ({
  name: 'bare updates',
  how: 'one durable and one asynchronous UPDATE of one row',
  open: (bench) => bareUpdates(bench, callers),
})

export const uncontended: Scenario = {
  name: 'uncontended',
  title: 'Acquire and release, one at a time',
  figure: 'cycles/s',
  better: 'more',
  alsoTold: ['p50 ms', 'p99 ms', 'retries a cycle'],
  contestants: [
    elect('pg-elect', 'tryAcquire + release; grant durable, release asynchronous', 1, 1),
    bare(1),
    ...etcdCycles(1),
    ...zooKeeperCycles(1),
    ...redisCycles(1),
    ...pglockCycles(1),
    riverCycles(1),
    advisoryLockCycles(1),
  ],
  goals: [
    { contestant: 'pg-elect', against: 'bare updates', ratio: 1 / 1.25 },
    { contestant: 'pg-elect', against: 'etcd transaction', ratio: 3 },
    { contestant: 'pg-elect', against: 'npm etcd3 lock()', ratio: 7 },
    { contestant: 'pg-elect', against: 'ZooKeeper node', ratio: 2 },
    { contestant: 'pg-elect', against: 'pglock SQL', ratio: 2.5 },
    { contestant: 'pg-elect', against: 'pglock SQL before 1.16', ratio: 2.5 },
    { contestant: 'pg-elect', against: 'Redis SET NX', ratio: 1 },
  ],
}

export const connections: Scenario = {
  name: 'connections',
  title: 'Acquire and release, 16 clients with a connection each',
  figure: 'cycles/s',
  better: 'more',
  alsoTold: ['p50 ms', 'p99 ms', 'retries a cycle'],
  contestants: [
    elect('pg-elect', '16 clients in one process', 16, 16),
    bare(16),
    ...etcdCycles(16),
    ...zooKeeperCycles(16),
    ...redisCycles(16),
    ...pglockCycles(16),
    riverCycles(16),
    advisoryLockCycles(16),
  ],
  goals: [
    { contestant: 'pg-elect', against: 'etcd transaction', ratio: 4 },
    { contestant: 'pg-elect', against: 'ZooKeeper node', ratio: 1.2 },
    { contestant: 'pg-elect', against: 'Redis SET NX', ratio: 0.75 },
  ],
}

/** Many callers of one client, as in one busy process. */
export const oneProcess = (callers: number, goals: Scenario['goals']): Scenario => ({
  name: `one-process-${callers}`,
  title: `Acquire and release, ${callers} callers of one client`,
  figure: 'cycles/s',
  better: 'more',
  alsoTold: ['p50 ms', 'p99 ms'],
  contestants: [
    elect('pg-elect', `${callers} callers of one client`, callers, 1),
    ...etcdCycles(callers),
    ...zooKeeperCycles(callers),
    ...redisCycles(callers, { isPipelined: true }),
  ],
  goals,
})
