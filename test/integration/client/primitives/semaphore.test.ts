import { describe, expect, test } from 'vitest'
import { AcquireTimeoutError, type Lease } from '../../../../src/index.ts'
import { openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, useScene, whenCount } from './support.ts'

const scene = useScene()

describe('a semaphore', () => {
  test('gives as many permits as there are, over all clients, and counts them', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const semaphore = one.semaphore('count', { permits: 2 })
    expect([await semaphore.held(), await semaphore.available()]).toEqual([0, 2])
    const first = await semaphore.acquire()
    const second = await other.semaphore('count', { permits: 2 }).acquire()
    expect(second.token).toBeGreaterThan(first.token)
    expect(await semaphore.tryAcquire()).toBeNull()
    expect([await semaphore.held(), await semaphore.available()]).toEqual([2, 0])
    await first.release()
    expect([await semaphore.held(), await semaphore.available()]).toEqual([1, 1])
    expect((await other.semaphore('count', { permits: 2 }).tryAcquire())?.isHeld).toBe(true)
  })

  test('never lets more in than there are permits, however many ask; each gets one, in order', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database).client)
    let [inside, most] = [0, 0]
    const tokens: number[] = []
    const use = async (index: number) => {
      const semaphore = clients[index % clients.length]?.semaphore('crowd', { permits: 3 })
      await using permit = (await semaphore?.acquire()) as Lease
      tokens.push(permit.token)
      inside += 1
      most = Math.max(most, inside)
      await permit.renew()
      inside -= 1
    }
    await Promise.all(Array.from({ length: 30 }, (_, index) => use(index)))
    expect(most).toBeLessThanOrEqual(3)
    expect(new Set(tokens).size).toBe(30)
    expect(await countOf(scene.session, 'crowd')).toEqual({ waiting: 0, shares: 0 })
  })

  test('who waits is served in order', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const permit = await one.semaphore('order', { permits: 1 }).acquire()
    const order: number[] = []
    const waiting: Promise<void>[] = []
    for (const [index, client] of [other, one, other, one].entries()) {
      waiting.push(
        client
          .semaphore('order', { permits: 1 })
          .acquire()
          .then(async (lease) => {
            order.push(index)
            await lease.release()
          }),
      )
      await whenCount(scene.session, 'order', { waiting: index + 1 })
    }
    await permit.release()
    await Promise.all(waiting)
    expect(order).toEqual([0, 1, 2, 3])
  })

  test('setPermits holds for all at once: more let those in who wait, fewer are reached as permits are given back', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const semaphore = one.semaphore('live', { permits: 1 })
    const first = await semaphore.acquire()
    const waiting = [0, 1].map(() => other.semaphore('live', { permits: 1 }).acquire())
    await whenCount(scene.session, 'live', { waiting: 2 })
    await semaphore.setPermits(3)
    const [second, third] = await Promise.all(waiting)
    // The count that a client names is that of the first use only.
    expect(await other.semaphore('live', { permits: 9 }).available()).toBe(0)
    await semaphore.setPermits(1)
    expect([await semaphore.held(), await semaphore.available()]).toEqual([3, 0])
    await first.release()
    await second?.release()
    expect(await semaphore.tryAcquire()).toBeNull()
    await third?.release()
    expect(await semaphore.tryAcquire()).not.toBeNull()
    await semaphore.setPermits(0)
    expect(await other.semaphore('live', { permits: 1 }).tryAcquire()).toBeNull()
  })

  test('a semaphore can have no permits at first', async () => {
    const { client, log } = openClient(scene.database)
    const semaphore = client.semaphore('closed at first', { permits: 0 })
    expect(await semaphore.tryAcquire()).toBeNull()
    const waiting = semaphore.acquire()
    await log.logged('waiting for a lease')
    await semaphore.setPermits(1)
    expect((await waiting).isHeld).toBe(true)
  })

  test('who stops waiting leaves no place in line and holds nothing', async () => {
    const { client } = openClient(scene.database)
    const semaphore = client.semaphore('cancel', { permits: 1 })
    const permit = await semaphore.acquire()
    const stop = new AbortController()
    const waiting = semaphore.acquire({ signal: stop.signal })
    await whenCount(scene.session, 'cancel', { waiting: 1 })
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(semaphore.acquire({ timeoutMs: 50 })).rejects.toThrow(AcquireTimeoutError)
    await whenCount(scene.session, 'cancel', { waiting: 0, shares: 1 })
    await permit.release()
    expect(await semaphore.available()).toBe(1)
  })

  test('the permit of a holder that is gone comes free when it runs out', async () => {
    const { client } = openClient(scene.database)
    await scene.session.query(
      `SELECT elect.acquire_share(name => 'gone', holder => 'dead', capacity => 1, ttl => '500 milliseconds')`,
    )
    expect(await client.semaphore('gone', { permits: 1 }).tryAcquire()).toBeNull()
    expect((await client.semaphore('gone', { permits: 1 }).acquire()).isHeld).toBe(true)
  })

  test('a lost connection leaves no gap for who waits', async () => {
    const [holder, waiter] = [
      openClient(scene.database, { ttlMs: 10_000 }),
      openClient(scene.database, { ttlMs: 300_000, retryIntervalMs: 20 }),
    ]
    const permit = await holder.client.semaphore('connection', { permits: 1 }).acquire()
    const waiting = waiter.client.semaphore('connection', { permits: 1 }).acquire()
    await waiter.log.logged('waiting for a lease')
    await endSessions(scene.session)
    await holder.log.logged('lost a connection to the database')
    await permit.renew()
    await permit.release()
    expect((await waiting).token).toBeGreaterThan(permit.token)
  })

  test.each<BadCall>([
    ['no options', (c) => c.semaphore('x', undefined as never), /expected an object, got undefined$/],
    ['no permits', (c) => c.semaphore('x', {} as never), /^Invalid permits: .*, got undefined$/],
    ['permits below zero', (c) => c.semaphore('x', { permits: -1 }), /from 0 to 2147483647, got -1$/],
    ['half a permit', (c) => c.semaphore('x', { permits: 0.5 }), /^Invalid permits: .*, got 0.5$/],
    ['too many permits', (c) => c.semaphore('x', { permits: 1 }).setPermits(2 ** 31), /got 2147483648$/],
    ['an unknown option', (c) => c.semaphore('x', { permits: 1, max: 5 } as never), /^Unknown option "max"/],
    ['a name too long', (c) => c.semaphore('x'.repeat(181), { permits: 1 }), /1 to 180 bytes/],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
