import { describe, expect, test } from 'vitest'
import { AcquireTimeoutError, ClosedError, type PgElect } from '../../../../src/index.ts'
import { openClient } from '../clients.ts'
import { type BadCall, endSessions, expectRefusal, until, useScene } from './support.ts'

const scene = useScene()

describe('a barrier', () => {
  test('that is lowered, or never was raised, lets everybody through', async () => {
    const barrier = openClient(scene.database).client.barrier('never')
    expect(await barrier.isRaised()).toBe(false)
    await barrier.wait()
    expect(await barrier.lower()).toBe(false)
  })

  test('holds back all who wait until it is lowered, by whomever', async () => {
    const [one, other] = [0, 1].map(() => openClient(scene.database, { ttlMs: 300_000 }).client) as [
      PgElect,
      PgElect,
    ]
    expect(await one.barrier('all').raise()).toBe(true)
    expect(await other.barrier('all').raise()).toBe(false)
    expect(await other.barrier('all').isRaised()).toBe(true)
    const order: string[] = []
    const waits = [one, one, other, other].map((client) =>
      client
        .barrier('all')
        .wait()
        .then(() => order.push('through')),
    )
    await expect(other.barrier('all').wait({ timeoutMs: 50 })).rejects.toThrow(AcquireTimeoutError)
    order.push('lowered')
    expect(await other.barrier('all').lower()).toBe(true)
    await Promise.all(waits)
    expect(order).toEqual(['lowered', 'through', 'through', 'through', 'through'])
    expect(await one.barrier('all').raise()).toBe(true)
  })

  test('is lowered when its ttl is over; raised again it lasts longer', async () => {
    const one = openClient(scene.database).client
    // Looks by itself only after minutes.
    const other = openClient(scene.database, { ttlMs: 300_000 }).client
    expect(await one.barrier('ttl').raise({ ttlMs: 300 })).toBe(true)
    // No notification tells that it ran out.
    await other.barrier('ttl').wait()
    expect(await one.barrier('ttl').raise({ ttlMs: 300 })).toBe(true)
    expect(await one.barrier('ttl').raise({ ttlMs: 60_000 })).toBe(false)
    expect((await one.get('ttl'))?.expiresInMs).toBeGreaterThan(30_000)
    expect(await one.barrier('ttl').raise()).toBe(false)
    expect((await one.get('ttl'))?.expiresInMs).toBeNull()
  })

  test('who stops waiting, or whose client closes, is told so', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    await one.barrier('stop').raise()
    const stop = new AbortController()
    const [stopped, closed] = [
      other.barrier('stop').wait({ signal: stop.signal }),
      other.barrier('stop').wait(),
    ]
    stop.abort(new Error('enough'))
    await expect(stopped).rejects.toThrow('enough')
    await Promise.all([expect(closed).rejects.toThrow(ClosedError), other.close()])
    expect(await one.barrier('stop').isRaised()).toBe(true)
  })

  test('a lost connection leaves no gap for who waits', async () => {
    const { client, log } = openClient(scene.database, { ttlMs: 300_000, retryIntervalMs: 20 })
    await scene.session.query(`SELECT elect.compare_and_swap('connection', 'raised', NULL)`)
    let isThrough = false
    const wait = client
      .barrier('connection')
      .wait()
      .then(() => {
        isThrough = true
      })
    // Has looked: the session that ends is the one that looks and listens.
    await until(async () => {
      const { rows } = await scene.session.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%elect.get_lease(%' AND application_name = 'pg-elect'`,
      )
      return rows.length > 0
    })
    await endSessions(scene.session)
    await log.logged('lost a connection to the database')
    expect(isThrough).toBe(false)
    await scene.session.query(`SELECT elect.compare_and_swap('connection', NULL, 'raised')`)
    await wait
  })

  test('does not take the name of a lease', async () => {
    const { client } = openClient(scene.database)
    await client.acquire('leased')
    await expect(client.barrier('leased').raise()).rejects.toThrow(/expected that of a barrier, got "leased"/)
    await expect(client.barrier('leased').lower()).rejects.toThrow(/expected that of a barrier, got "leased"/)
  })

  test.each<BadCall>([
    ['an empty name', (c) => c.barrier(''), /^Invalid name/],
    ['a bad ttl', (c) => c.barrier('x').raise({ ttlMs: 0 }), /^Invalid ttlMs/],
    ['an unknown option', (c) => c.barrier('x').raise({ ttl: 5 } as never), /^Unknown option "ttl"/],
    ['an unknown option of a wait', (c) => c.barrier('x').wait({ ttl: 5 } as never), /^Unknown option "ttl"/],
    ['a bad timeout', (c) => c.barrier('x').wait({ timeoutMs: Number.NaN }), /^Invalid timeoutMs/],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
