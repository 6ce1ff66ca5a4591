/**
 * What processes do with each primitive until one of them is killed: the same in the one that is killed and in those that have to go on.
 */
import { randomUUID } from 'node:crypto'
import { BusyError, ConnectionError, type PgElect, ValueMissingError } from '../../../src/index.ts'

export const TTL_MS = 1_000
export const PERMITS = 2
export const PARTITIONS = 4

/** What clients would say of connections and leases that are lost is not what is looked at here. */
export const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A moment of random length, in which a process can be killed while it holds something. */
export type Pause = () => Promise<void>

export interface Use {
  /** Asks, holds, and gives back. */
  cycle(client: PgElect, name: string, pause: Pause, stop: AbortSignal): Promise<void>
  /** Goes through only once nobody who is dead is in the way any more, and nobody who lives uses it. */
  proof(client: PgElect, name: string): Promise<void>
  /** What those do who go on, if that is something else. */
  rival?(client: PgElect, name: string, pause: Pause): Promise<void>
  /** Whether one that goes on needs another that does, too. */
  readonly needsPartner?: boolean
}

async function held(lease: AsyncDisposable, pause: Pause): Promise<void> {
  await using _ = lease
  await pause()
}

const nothing = async () => {}

const all: Record<string, Use> = {
  mutex: {
    cycle: async (client, name, pause) => held(await client.mutex(name).lock(), pause),
    proof: async (client, name) => held(await client.mutex(name).lock(), nothing),
  },
  'mutex in the queue': {
    cycle: async (client, name, pause) => held(await client.mutex(name, { wait: 'queue' }).lock(), pause),
    proof: async (client, name) => held(await client.mutex(name, { wait: 'queue' }).lock(), nothing),
  },
  'fast mutex': {
    cycle: async (client, name, pause) => held(await client.fastMutex(name).lock(), pause),
    proof: async (client, name) => held(await client.fastMutex(name).lock(), nothing),
  },
  'read-write lock': {
    async cycle(client, name, pause) {
      const lock = client.readWriteLock(name)
      await held(await lock.read(), pause)
      await held(await lock.write(), pause)
    },
    proof: async (client, name) => held(await client.readWriteLock(name).write(), nothing),
  },
  semaphore: {
    cycle: async (client, name, pause) =>
      held(await client.semaphore(name, { permits: PERMITS }).acquire(), pause),
    async proof(client, name) {
      const semaphore = client.semaphore(name, { permits: PERMITS })
      const permits = await Promise.all(Array.from({ length: PERMITS }, () => semaphore.acquire()))
      await Promise.all(permits.map((permit) => permit.release()))
    },
  },
  barrier: {
    async cycle(client, name, pause) {
      await client.barrier(name).raise({ ttlMs: TTL_MS })
      await pause()
      await client.barrier(name).lower()
      await pause()
    },
    // They do not lower it: that of the dead one is lowered by its ttl.
    async rival(client, name, pause) {
      await client.barrier(name).wait()
      await pause()
    },
    proof: (client, name) => client.barrier(name).wait(),
  },
  'double barrier': {
    needsPartner: true,
    async cycle(client, name, pause, signal) {
      const party = client.doubleBarrier(name, { parties: 2 })
      await party.enter({ signal })
      await pause()
      await party.leave({ signal })
    },
    proof: nothing,
  },
  group: {
    async cycle(client, name, pause) {
      await using _ = await client.group(name).join({ pid: process.pid })
      await pause()
    },
    async proof(client, name) {
      for await (const { members } of client.group(name).watch()) if (members.length === 0) return
    },
  },
  partitions: {
    cycle: (client, name, pause) => own(client, name, pause),
    async proof(client, name) {
      let took = () => {}
      const all = new Promise<void>((resolve) => {
        took = resolve
      })
      await own(client, name, () => all, took)
    },
  },
  register: {
    async cycle(client, name, pause) {
      const register = client.register(name)
      const value = randomUUID()
      // Watched anew each time: a value that came and went between two looks is no change.
      do await emptied(client, name)
      while (!(await register.compareAndSwap(value, null, { ttlMs: TTL_MS })))
      await pause()
      try {
        await register.compareAndSwap(null, value)
      } catch (error) {
        // Too slow: it had run out.
        if (!(error instanceof ValueMissingError)) throw error
      }
    },
    proof: emptied,
  },
}

/**
 * Does it again where single calls throw because the database did not answer in time, which it need not while so much goes on: with a
 * TTL of a second it has a fifth of one.
 */
export async function persistently(act: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof ConnectionError || error instanceof BusyError)) throw error
    }
  }
}

const only = new RegExp(process.env.ONLY || '')

/** By the name of the primitive. */
export const uses = Object.fromEntries(Object.entries(all).filter(([primitive]) => only.test(primitive)))

async function emptied(client: PgElect, key: string): Promise<void> {
  for await (const found of client.register(key).watch()) if (found === null) return
}

/** Is a member until `pause` is over. @param took - called once it has all partitions */
async function own(client: PgElect, name: string, pause: Pause, took?: () => void): Promise<void> {
  const stop = new AbortController()
  const reason = new Error('enough')
  let owned = 0
  const run = client.partitions(name, { count: PARTITIONS }).run(
    async (_, { signal }) => {
      owned += 1
      if (owned === PARTITIONS) took?.()
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      owned -= 1
    },
    { signal: stop.signal },
  )
  await Promise.race([run, pause()])
  stop.abort(reason)
  await run.catch((error: unknown) => {
    if (error !== reason) throw error
  })
}
