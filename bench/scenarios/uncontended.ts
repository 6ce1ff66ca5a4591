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
import { bareUpdates, bareUpdatesTogether, bareUpdatesTold } from '../support/bare-updates.ts'

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

const elect = (name: string, how: string, callers: number, connections: number): Contestant => ({
  name,
  how,
  open: (bench) => electCycles(bench, callers, connections),
})

export const uncontended: Scenario = {
  name: 'uncontended',
  title: 'Acquire and release, one at a time',
  figure: 'cycles/s',
  better: 'more',
  alsoTold: ['p50 ms', 'p99 ms', 'retries a cycle'],
  contestants: [
    elect('pg-elect', 'tryAcquire + release; grant durable, release asynchronous', 1, 1),
    bareUpdates(1),
    bareUpdatesTold(1),
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
    bareUpdates(16),
    bareUpdatesTold(16),
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
    bareUpdates(callers),
    bareUpdatesTogether(callers),
    ...etcdCycles(callers),
    ...zooKeeperCycles(callers),
    ...redisCycles(callers, { isPipelined: true }),
  ],
  goals,
})
