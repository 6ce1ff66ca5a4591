import { describe, expect, test } from 'vitest'
import { ValueMissingError } from '../../../../src/index.ts'
import { openClient } from '../clients.ts'
import { type BadCall, endSessions, expectRefusal, useScene } from './support.ts'

const scene = useScene()

describe('a register', () => {
  test('is one value for all clients, with a version that grows', async () => {
    const [one, other] = [openClient(scene.database).client, openClient(scene.database).client]
    const register = one.register('value')
    expect(await register.get()).toBeNull()
    const version = await register.set('a')
    expect(await other.register('value').get()).toEqual({ value: 'a', version, expiresInMs: null })
    expect(await other.register('value').set('b')).toBeGreaterThan(version)
    expect((await register.get())?.value).toBe('b')
    expect(await register.clear()).toBe(true)
    expect(await register.clear()).toBe(false)
    expect(await register.get()).toBeNull()
  })

  test('compare-and-swap stores only over what was expected', async () => {
    const register = openClient(scene.database).client.register('swap')
    expect(await register.compareAndSwap('a', null)).toBe(true)
    expect(await register.compareAndSwap('b', null)).toBe(false)
    expect(await register.compareAndSwap('b', 'x')).toBe(false)
    expect(await register.compareAndSwap('b', 'a')).toBe(true)
    const version = (await register.get())?.version ?? 0
    expect(await register.compareAndSwapVersion('c', version - 1)).toBeNull()
    expect(await register.compareAndSwapVersion('c', version)).toBeGreaterThan(version)
    expect(await register.compareAndSwap(null, 'c')).toBe(true)
    await expect(register.compareAndSwap('d', 'c')).rejects.toThrow(ValueMissingError)
  })

  test('each of many that count by compare-and-swap counts once', async () => {
    const clients = [0, 1, 2, 3].map(() => openClient(scene.database).client)
    const count = async (register: ReturnType<(typeof clients)[number]['register']>) => {
      for (;;) {
        const seen = await register.get()
        const next = String(Number(seen?.value ?? 0) + 1)
        if ((await register.compareAndSwapVersion(next, seen?.version ?? 0)) !== null) return
      }
    }
    await Promise.all(
      clients.map(async (client) => {
        for (let time = 0; time < 10; time++) await count(client.register('counter'))
      }),
    )
    expect((await clients[0]?.register('counter').get())?.value).toBe('40')
  })

  test('of several that set it at once each succeeds', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database).client)
    const versions = await Promise.all(
      clients.flatMap((client, index) =>
        [0, 1, 2].map((time) => client.register('set').set(`${index}-${time}`)),
      ),
    )
    expect(new Set(versions).size).toBe(9)
    expect((await clients[0]?.register('set').get())?.version).toBe(Math.max(...versions))
  })

  test('watch yields the value as it is, then each change, an expiry too; a renewal is none', async () => {
    // Looks by itself only after minutes: what it sees it was told, or has run out.
    const one = openClient(scene.database, { ttlMs: 300_000 }).client
    const other = openClient(scene.database).client
    const register = other.register('watched')
    const values = one.register('watched').watch()
    const next = async () => (await values.next()).value?.value
    expect(await next()).toBeUndefined()
    await register.set('a')
    expect(await next()).toBe('a')
    // The same value again: its watcher is told of nothing but the next one.
    const change = next()
    await register.set('a')
    await register.compareAndSwap('a', 'a')
    await register.set('b', { ttlMs: 300 })
    expect(await change).toBe('b')
    // No notification tells that it ran out.
    expect(await next()).toBeUndefined()
    await register.set('c')
    expect(await next()).toBe('c')
    await register.clear()
    expect(await next()).toBeUndefined()
    await values.return()
  })

  test('watch ends with its signal, and with the client, without an error', async () => {
    const { client } = openClient(scene.database)
    const stop = new AbortController()
    const [stopped, closed] = [
      client.register('ended').watch({ signal: stop.signal }),
      client.register('ended').watch(),
    ]
    for (const values of [stopped, closed]) expect(await values.next()).toEqual({ done: false, value: null })
    const ends = [stopped.next(), closed.next()]
    stop.abort()
    expect(await ends[0]).toEqual({ done: true, value: undefined })
    await client.close()
    expect(await ends[1]).toEqual({ done: true, value: undefined })
    const never = openClient(scene.database).client.register('ended').watch({ signal: AbortSignal.abort() })
    expect((await never.next()).done).toBe(true)
  })

  test('after a lost connection a watcher reads what it may have missed', async () => {
    const { client, log } = openClient(scene.database, { ttlMs: 300_000, retryIntervalMs: 20 })
    const values = client.register('missed').watch()
    expect((await values.next()).value).toBeNull()
    const change = values.next()
    await endSessions(scene.session)
    await log.logged('lost a connection to the database')
    await scene.session.query(`SELECT elect.compare_and_swap('missed', 'new', NULL)`)
    expect((await change).value).toMatchObject({ value: 'new' })
    await values.return()
  })

  test('a swap that waits in the database holds up no renewal', async () => {
    const { client } = openClient(scene.database)
    const other = await scene.database.connect()
    const register = client.register('busy')
    await register.set('a')
    const lease = await client.acquire('renewed beside it')
    await other.query('BEGIN')
    await other.query(`SELECT FROM elect.leases WHERE name = 'busy' FOR UPDATE`)
    const swap = register.compareAndSwap('b', 'a')
    await lease.renew()
    await other.query('COMMIT')
    expect(await swap).toBe(true)
  })

  test.each<BadCall>([
    ['an empty key', (c) => c.register(''), /^Invalid name: expected text of 1 to 200 bytes/],
    ['a value too long', (c) => c.register('x').set('v'.repeat(501)), /^Invalid value: .* got 501 bytes$/],
    ['a value of another type', (c) => c.register('x').set(5 as never), /^Invalid value: .* got number$/],
    ['a bad version', (c) => c.register('x').compareAndSwapVersion('v', -1), /^Invalid version/],
    ['a bad ttl', (c) => c.register('x').set('v', { ttlMs: 5 }), /^Invalid ttlMs/],
    ['an unknown option', (c) => c.register('x').set('v', { ttl: 5 } as never), /^Unknown option "ttl"/],
    [
      'an unknown option of a watch',
      (c) =>
        c
          .register('x')
          .watch({ sgnal: 5 } as never)
          .next(),
      /^Unknown option/,
    ],
    [
      'a signal that is none',
      (c) =>
        c
          .register('x')
          .watch({ signal: 5 as never })
          .next(),
      /^Invalid signal/,
    ],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
