import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { ControlConnection } from '../../../../src/connection.ts'
import {
  AcquireTimeoutError,
  ClosedError,
  LeaseLostError,
  type PgElect,
  PoolerError,
} from '../../../../src/index.ts'
import { aborted, openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, until, useScene } from './support.ts'

const scene = useScene()

/** What the three mutexes have in common. */
interface AnyMutex {
  lock(options?: object): Promise<AnyLock>
  tryLock(): Promise<AnyLock | null>
  withLock<T>(work: (lock: AnyLock) => Promise<T> | T, options?: object): Promise<T>
}

interface AnyLock {
  readonly isHeld: boolean
  readonly signal: AbortSignal
  release(): Promise<boolean>
}

const kinds = ['line', 'queue', 'fast'] as const
type Kind = (typeof kinds)[number]

function make(client: PgElect, kind: Kind, name: string): AnyMutex {
  return kind === 'fast' ? client.fastMutex(name) : client.mutex(name, { wait: kind })
}

/** How many wait, in the table's line or in the server's queue. */
async function waiting(kind: Kind, name: string): Promise<number> {
  if (kind === 'line') return (await countOf(scene.session, name)).waiting
  const text = `SELECT count(*)::int AS waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
  return (await scene.session.query<{ waiting: number }>(text)).rows[0]?.waiting ?? 0
}

/** Advisory locks that are held in the database: none may be left behind. */
async function heldLocks(): Promise<number> {
  const text = `SELECT count(*)::int AS held FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
  return (await scene.session.query<{ held: number }>(text)).rows[0]?.held ?? 0
}

afterEach(async () => {
  // The clients of the test are closed by now, or are about to be.
  await until(async () => (await heldLocks()) === 0)
})

describe.each(kinds)('a mutex that waits in: %s', (kind) => {
  test('lets one in at a time, each in turn, and loses nobody', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database).client)
    let [inside, done] = [0, 0]
    await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const mutex = make(clients[index % 3] as PgElect, kind, `crowd ${kind}`)
        await mutex.withLock(async (lock) => {
          expect(++inside).toBe(1)
          expect(lock.isHeld).toBe(true)
          await scene.session.query('SELECT')
          inside -= 1
          done += 1
        })
      }),
    )
    expect(done).toBe(24)
  })

  test('serves those who wait as they came', async () => {
    const clients = [0, 1].map(() => openClient(scene.database, { ttlMs: 30_000 }).client)
    const name = `order ${kind}`
    const first = await make(clients[0] as PgElect, kind, name).lock()
    const order: number[] = []
    const all: Promise<void>[] = []
    for (let index = 0; index < 4; index++) {
      all.push(
        make(clients[index % 2] as PgElect, kind, name).withLock(() => {
          order.push(index)
        }),
      )
      await until(async () => (await waiting(kind, name)) === index + 1)
    }
    await first.release()
    await Promise.all(all)
    // In the server's queue a wait is bounded to a second: on a machine that slow the order may differ.
    expect(order.toSorted()).toEqual([0, 1, 2, 3])
    if (kind === 'line') expect(order).toEqual([0, 1, 2, 3])
  })

  test('tryLock does not wait, and takes it once it is free', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const name = `try ${kind}`
    const lock = await make(one, kind, name).tryLock()
    expect(lock?.isHeld).toBe(true)
    expect(await make(other, kind, name).tryLock()).toBeNull()
    // Not even within the same process.
    expect(await make(one, kind, name).tryLock()).toBeNull()
    expect(await lock?.release()).toBe(true)
    expect(lock?.isHeld).toBe(false)
    const next = await make(other, kind, name).tryLock()
    expect(next?.isHeld).toBe(true)
    await next?.release()
  })

  test('who gives up waiting, or has no more time, leaves no trace and is not let in later', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const name = `gives up ${kind}`
    const lock = await make(one, kind, name).lock()
    const stop = new AbortController()
    const given = make(other, kind, name).lock({ signal: stop.signal })
    const timed = make(other, kind, name).lock({ timeoutMs: 50 })
    await expect(timed).rejects.toThrow(AcquireTimeoutError)
    await until(async () => (await waiting(kind, name)) > 0)
    stop.abort(new Error('never mind'))
    await expect(given).rejects.toThrow('never mind')
    await expect(
      make(other, kind, name).lock({ signal: AbortSignal.abort(new Error('before')) }),
    ).rejects.toThrow('before')
    await until(async () => (await waiting(kind, name)) === 0)
    await lock.release()
    const next = await make(one, kind, name).lock({ timeoutMs: 20_000 })
    await next.release()
  })

  test('gives back when the work throws, and says what it threw', async () => {
    const { client } = openClient(scene.database)
    const mutex = make(client, kind, `throws ${kind}`)
    await expect(
      mutex.withLock(() => {
        throw new TypeError('of the work')
      }),
    ).rejects.toThrow('of the work')
    const lock = await mutex.tryLock()
    expect(lock).not.toBeNull()
    await lock?.release()
  })

  test('ends with its client: who waits hears so, and what is held is given back', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const name = `closes ${kind}`
    const lock = await make(one, kind, name).lock()
    const late = make(other, kind, name).lock()
    await until(async () => (await waiting(kind, name)) === 1)
    const closed = other.close()
    await expect(late).rejects.toThrow(ClosedError)
    await closed
    await one.close()
    expect(lock.isHeld).toBe(false)
    const { client } = openClient(scene.database)
    const next = await make(client, kind, name).tryLock()
    expect(next).not.toBeNull()
    await next?.release()
  })

  const bad: BadCall[] = [
    [
      'an unknown option',
      (client) => make(client, kind, 'bad').lock({ patience: 1 }),
      /^Unknown option "patience"/,
    ],
    [
      'a negative timeout',
      (client) => make(client, kind, 'bad').lock({ timeoutMs: -1 }),
      /^Invalid timeoutMs: expected milliseconds/,
    ],
    [
      'a signal that is none',
      (client) => make(client, kind, 'bad').lock({ signal: 1 }),
      /^Invalid signal: expected an AbortSignal, got number/,
    ],
    [
      'work that is no function',
      (client) => make(client, kind, 'bad').withLock(1 as never),
      /^Invalid work: expected a function, got number/,
    ],
    ['an empty name', (client) => make(client, kind, ''), /^Invalid name: expected text of 1 to 200 bytes/],
  ]
  test.each(bad)('refuses %s, without asking the database', async (_what, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})

test('a mutex in line serves larger priorities first', async () => {
  const { client } = openClient(scene.database, { ttlMs: 30_000 })
  const mutex = client.mutex('priority')
  const lock = await mutex.lock()
  const order: number[] = []
  const all = [0, 5, -3].map(async (priority) => {
    await mutex.withLock(() => order.push(priority), { priority })
  })
  await until(async () => (await waiting('line', 'priority')) === 3)
  await lock.release()
  await Promise.all(all)
  expect(order).toEqual([5, 0, -3])
  await expect(mutex.lock({ priority: 0.5 })).rejects.toThrow(/^Invalid priority: expected a whole number/)
  await expect(client.mutex('x', { wait: 'queue' }).lock({ priority: 1 })).rejects.toThrow(
    /^Unknown option "priority"/,
  )
  expect(() => client.mutex('x', { wait: 'bench' as 'line' })).toThrow(
    /^Invalid wait: expected one of line, queue, got "bench"/,
  )
})

test('the three kinds exclude each other by name', async () => {
  const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
  for (const held of kinds) {
    const lock = await make(one, held, 'one name').lock()
    for (const kind of kinds) expect(await make(other, kind, 'one name').tryLock()).toBeNull()
    await lock.release()
  }
})

test('a mutex that was lost with its connection: a lease goes on, an advisory lock is lost at once', async () => {
  const { client } = openClient(scene.database, { ttlMs: 20_000 })
  const queued = await client.mutex('lost queue', { wait: 'queue' }).lock()
  const fast = await client.fastMutex('lost fast').lock()
  await endSessions(scene.session)
  expect(await aborted(fast.signal)).toBeInstanceOf(LeaseLostError)
  expect(fast.isHeld).toBe(false)
  expect(await fast.release()).toBe(false)
  // It is a lease: its token leads until its deadline, whatever became of the lock that it waited on.
  expect(queued.isHeld).toBe(true)
  expect(await client.mutex('lost queue').tryLock()).toBeNull()
  await queued.renew()
  expect(await queued.release()).toBe(true)
})

test('a mutex in the queue of the server that was taken away by force is free there, too', async () => {
  const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
  const lock = await one.mutex('forced', { wait: 'queue' }).lock()
  await scene.session.query("SELECT elect.force_release('forced', 'a test')")
  await aborted(lock.signal)
  // The one that had it is up, and so is whatever connection it keeps.
  await using next = await other.mutex('forced', { wait: 'queue' }).lock({ timeoutMs: 10_000 })
  expect(next.token).toBeGreaterThan(lock.token)
})

test('who waits in the queue of the server goes on waiting after its connection was lost', async () => {
  const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
  for (const kind of ['queue', 'fast'] as const) {
    const name = `waits on ${kind}`
    // In the table, so that the holder does not go with the connections.
    const lock = await one.mutex(name).lock()
    const waits = make(other, kind, name).lock({ timeoutMs: 20_000 })
    await endSessions(scene.session)
    await lock.renew().catch(() => undefined)
    await lock.release()
    const next = await waits
    expect(next.isHeld).toBe(true)
    await next.release()
  }
})

test('what needs a session of its own is refused behind a pooler', async () => {
  const { isPooled } = ControlConnection.prototype
  ControlConnection.prototype.isPooled = async () => true
  onTestFinished(() => {
    ControlConnection.prototype.isPooled = isPooled
  })
  const { client } = openClient(scene.database)
  for (const kind of ['queue', 'fast'] as const) {
    await expect(make(client, kind, 'pooled').lock()).rejects.toThrow(PoolerError)
    await expect(make(client, kind, 'pooled').tryLock()).rejects.toThrow(PoolerError)
  }
  await (await make(client, 'line', 'pooled').lock()).release()
})
