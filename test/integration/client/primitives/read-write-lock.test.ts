import { describe, expect, test } from 'vitest'
import { AcquireTimeoutError, ClosedError, LeaseLostError } from '../../../../src/index.ts'
import { aborted, openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, useScene, whenCount } from './support.ts'

const scene = useScene()
const waits = 'waiting for a lease'

describe('a read-write lock', () => {
  test('has many readers, of one client and of several, and no writer beside them', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const lock = one.readWriteLock('readers')
    const readers = [await lock.read(), await lock.read(), await other.readWriteLock('readers').read()]
    expect(new Set(readers.map(({ token }) => token)).size).toBe(3)
    expect(await other.readWriteLock('readers').tryWrite()).toBeNull()
    expect(await lock.tryWrite()).toBeNull()
    expect((await lock.tryRead())?.isHeld).toBe(true)
  })

  test('has one writer, and nobody beside it; tokens grow from grant to grant', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const reader = await one.readWriteLock('writer').read()
    await reader.release()
    const writer = await one.readWriteLock('writer').write()
    expect(writer.token).toBeGreaterThan(reader.token)
    expect(await other.readWriteLock('writer').tryRead()).toBeNull()
    expect(await other.readWriteLock('writer').tryWrite()).toBeNull()
    expect(await writer.release()).toBe(true)
    expect((await other.readWriteLock('writer').tryRead())?.token).toBeGreaterThan(writer.token)
  })

  test('serves those who wait in order: a reader does not pass a writer, and readers come in together', async () => {
    const [holder, writer, reader] = [0, 1, 2].map(() => openClient(scene.database))
    if (holder === undefined || writer === undefined || reader === undefined) throw new Error()
    const order: string[] = []
    const first = await holder.client.readWriteLock('order').read()
    const writing = writer.client.readWriteLock('order').write()
    await writer.log.logged(waits)
    // There is room for a reader, but it came later than the writer.
    expect(await reader.client.readWriteLock('order').tryRead()).toBeNull()
    const lock = reader.client.readWriteLock('order')
    const readings = [lock.read(), lock.read()]
    await whenCount(scene.session, 'order', { waiting: 3 })
    for (const reading of readings) void reading.then(() => order.push('read'))
    void writing.then(() => order.push('write'))

    await first.release()
    const write = await writing
    expect(order).toEqual(['write'])
    await write.release()
    const reads = await Promise.all(readings)
    expect(order).toEqual(['write', 'read', 'read'])
    for (const read of reads) expect(read.token).toBeGreaterThan(write.token)
  })

  test('of equal rank who came first goes first; priority goes before', async () => {
    const { client } = openClient(scene.database)
    const lock = client.readWriteLock('priority')
    const writer = await lock.write()
    const order: string[] = []
    const wait = async (as: string, priority: number) => {
      await using lease = await lock.write({ priority })
      order.push(as)
      expect(lease.isHeld).toBe(true)
    }
    const waiting: Promise<void>[] = []
    for (const [as, priority] of [
      ['first', 0],
      ['second', 0],
      ['urgent', 5],
    ] as const) {
      waiting.push(wait(as, priority))
      await whenCount(scene.session, 'priority', { waiting: waiting.length })
    }
    await writer.release()
    await Promise.all(waiting)
    expect(order).toEqual(['urgent', 'first', 'second'])
  })

  test('who stops waiting leaves no place in line and holds nothing', async () => {
    const [holder, waiter] = [openClient(scene.database), openClient(scene.database)]
    const writer = await holder.client.readWriteLock('cancel').write()
    const lock = waiter.client.readWriteLock('cancel')
    const stop = new AbortController()
    const waiting = [lock.read({ signal: stop.signal }), lock.write({ signal: stop.signal })]
    await whenCount(scene.session, 'cancel', { waiting: 2 })
    stop.abort(new Error('enough'))
    await Promise.all(waiting.map((wait) => expect(wait).rejects.toThrow('enough')))
    await whenCount(scene.session, 'cancel', { waiting: 0, shares: 1 })
    await expect(lock.read({ timeoutMs: 50 })).rejects.toThrow(AcquireTimeoutError)
    await whenCount(scene.session, 'cancel', { waiting: 0, shares: 1 })
    await writer.release()
    expect(await countOf(scene.session, 'cancel')).toEqual({ waiting: 0, shares: 0 })
  })

  test('closing the client releases what it holds, and ends what it waits for', async () => {
    const [holder, other] = [openClient(scene.database), openClient(scene.database)]
    await holder.client.readWriteLock('closed').read()
    const waiting = holder.client.readWriteLock('closed').write()
    await holder.log.logged(waits)
    await Promise.all([expect(waiting).rejects.toThrow(ClosedError), holder.client.close()])
    expect(await countOf(scene.session, 'closed')).toEqual({ waiting: 0, shares: 0 })
    expect(await other.client.readWriteLock('closed').tryWrite()).not.toBeNull()
    expect(() => holder.client.readWriteLock('closed')).toThrow(ClosedError)
  })

  test('a lost connection is no share lost, and leaves no gap for who waits', async () => {
    const [holder, waiter] = [
      openClient(scene.database, { ttlMs: 10_000 }),
      openClient(scene.database, { ttlMs: 300_000, retryIntervalMs: 20 }),
    ]
    const reader = await holder.client.readWriteLock('connection').read()
    const writing = waiter.client.readWriteLock('connection').write()
    await waiter.log.logged(waits)
    await endSessions(scene.session)
    await holder.log.logged('lost a connection to the database')
    await reader.renew()
    expect(reader.isHeld).toBe(true)
    await reader.release()
    expect((await writing).token).toBeGreaterThan(reader.token)
  })

  test('a share that an operator takes away is lost, and the next one gets it', async () => {
    const { client } = openClient(scene.database, { renewIntervalMs: 50 })
    const writer = await client.readWriteLock('taken').write()
    await scene.session.query('SELECT elect.force_release($1, $2)', [writer.name, 'a test'])
    expect(await aborted(writer.signal)).toBeInstanceOf(LeaseLostError)
    expect((await client.readWriteLock('taken').read()).token).toBeGreaterThan(writer.token)
  })

  test('a transaction is guarded by a share', async () => {
    const { client } = openClient(scene.database)
    const writer = await client.readWriteLock('guarded').write()
    const one = (db: { query: (text: string) => Promise<{ rows: unknown[] }> }) =>
      db.query('SELECT 1 AS one').then(({ rows }) => rows)
    expect(await writer.transaction(scene.session, one)).toEqual([{ one: 1 }])
    await writer.release()
    await expect(writer.transaction(scene.session, one)).rejects.toThrow(LeaseLostError)
  })

  test.each<BadCall>([
    ['an empty name', (c) => c.readWriteLock(''), /expected text of 1 to 180 bytes, got 0 bytes$/],
    ['a name too long', (c) => c.readWriteLock('x'.repeat(181)), /1 to 180 bytes, got 181 bytes$/],
    ['an unknown option', (c) => c.readWriteLock('x', { ttl: 5 } as never), /^Unknown option "ttl"/],
    ['a ttl out of range', (c) => c.readWriteLock('x', { ttlMs: 1 }), /^Invalid ttlMs/],
    [
      'an unknown option of a share',
      (c) => c.readWriteLock('x').read({ ttlMs: 500 } as never),
      /^Unknown option/,
    ],
    ['a priority out of range', (c) => c.readWriteLock('x').write({ priority: 1.5 }), /^Invalid priority/],
    ['a signal that is none', (c) => c.readWriteLock('x').read({ signal: 5 as never }), /^Invalid signal/],
    ['a timeout out of range', (c) => c.readWriteLock('x').read({ timeoutMs: -1 }), /^Invalid timeoutMs/],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })

  test('the name of a lease is refused by the database', async () => {
    const { client } = openClient(scene.database)
    await client.acquire('plain')
    await expect(client.readWriteLock('plain').read()).rejects.toThrow(
      /is the name of a lease that is not shared/,
    )
    await client.readWriteLock('shared').read()
    await expect(client.acquire('shared')).rejects.toThrow(/is the name of a shared lease/)
  })
})
