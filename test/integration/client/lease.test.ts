import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AcquireTimeoutError, LeaseLostError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { aborted, openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

describe('a lease', () => {
  test('excludes others, of the same client as of another, until it is released', async () => {
    const [one, other] = [openClient(database).client, openClient(database).client]
    const lease = await one.acquire('exclusive')
    expect(await one.tryAcquire('exclusive')).toBeNull()
    expect(await other.tryAcquire('exclusive')).toBeNull()
    expect(await lease.release()).toBe(true)
    expect(await lease.release()).toBe(true)
    expect(lease.isHeld).toBe(false)
    const next = await other.tryAcquire('exclusive')
    expect(next?.token).toBeGreaterThan(lease.token)
  })

  test('two clients of the same holder label are two holders', async () => {
    const options = { holder: 'billing-service' }
    const [one, other] = [openClient(database, options).client, openClient(database, options).client]
    const lease = await one.acquire('label')
    expect(lease.holder).toMatch(/^billing-service:/)
    expect(await other.tryAcquire('label')).toBeNull()
  })

  test('await using releases it', async () => {
    const { client } = openClient(database)
    {
      await using lease = await client.acquire('scoped')
      expect(await client.get('scoped')).toMatchObject({ token: lease.token })
    }
    expect(await client.get('scoped')).toBeNull()
  })

  test('waiting for it ends by timeout and by signal, with the right error', async () => {
    const [one, other] = [openClient(database).client, openClient(database).client]
    await one.acquire('waited')
    await expect(other.acquire('waited', { timeoutMs: 50 })).rejects.toThrow(AcquireTimeoutError)
    const stop = new AbortController()
    const waiting = other.acquire('waited', { signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await expect(other.acquire('waited', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
      'before',
    )
  })

  test('withLease returns what the work returned, throws what it threw, and releases in both cases', async () => {
    const { client } = openClient(database)
    expect(await client.withLease('with', ({ token }) => token > 0)).toBe(true)
    expect(await client.get('with')).toBeNull()
    await expect(client.withLease('with', () => Promise.reject(new TypeError('mine')))).rejects.toThrow(
      'mine',
    )
    expect(await client.get('with')).toBeNull()
  })

  test('withLease does not pass off as done what was done without the lease', async () => {
    const { client } = openClient(database, { ttlMs: 3_000, renewIntervalMs: 50 })
    const session = await database.connect()
    const result = client.withLease('taken', async ({ signal }) => {
      await session.query(`SELECT elect.force_release('taken', 'a test')`)
      await aborted(signal)
      return 'done'
    })
    await expect(result).rejects.toThrow(LeaseLostError)
  })

  test('isHeld is false in the very next line after the event loop was blocked past the deadline', async () => {
    const { client } = openClient(database, { ttlMs: 300 })
    const lease = await client.acquire('blocked')
    expect(lease.isHeld).toBe(true)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.aborted).toBe(true)
    expect(() => lease.assertHeld()).toThrow(LeaseLostError)
    await expect(lease.renew()).rejects.toThrow(LeaseLostError)
  })

  test('its signal aborts by itself after the event loop was blocked, also if nobody looks', async () => {
    const { client } = openClient(database, { ttlMs: 300 })
    const lease = await client.acquire('blocked-unseen')
    const end = aborted(lease.signal)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300)
    expect(await end).toBeInstanceOf(LeaseLostError)
  })

  test('renew extends it now', async () => {
    const { client } = openClient(database, { ttlMs: 60_000 })
    const lease = await client.acquire('renewed')
    const before = await client.get('renewed')
    await lease.renew()
    const after = await client.get('renewed')
    expect(after?.token).toBe(before?.token)
    expect(after?.version).toBe((before?.version ?? 0) + 1)
  })
})

describe('one client with 1,000 leases', () => {
  test('renews them all by one statement a beat', { timeout: 120_000 }, async () => {
    await using own = await createTestDatabase()
    const session = await own.connect()
    const { client } = openClient(own, { ttlMs: 60_000, renewIntervalMs: 2_000 })
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => client.acquire(`lease-${i}`)))

    // Each statement is a transaction: rows renewed by the same one bear its number.
    const look = async () => {
      const text = `SELECT count(*)::int AS leases, count(DISTINCT xmin::text)::int AS statements,
        max(renewed_at)::text AS beat, bool_and(version > token) AS renewed FROM elect.leases`
      return (await session.query(text)).rows[0]
    }
    // Granted one by one, they find together within two rounds; from then on no beat is split.
    while ((await look()).statements > 1) await new Promise((resolve) => setTimeout(resolve, 50))
    const beats = new Set<string>()
    while (beats.size < 3) {
      const seen = await look()
      expect(seen).toMatchObject({ leases: 1_000, statements: 1, renewed: true })
      beats.add(seen.beat)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })
})

describe('the fast path', () => {
  test('excludes others, of the same client as of another, and a lease of the same name', async () => {
    const [one, other] = [openClient(database).client, openClient(database).client]
    const lock = await one.tryAdvisoryLock('mutex')
    expect(lock?.isHeld).toBe(true)
    expect(await one.tryAdvisoryLock('mutex')).toBeNull()
    expect(await other.tryAdvisoryLock('mutex')).toBeNull()
    expect(await other.tryAcquire('mutex')).toBeNull()
    expect(await lock?.release()).toBe(true)
    expect(await lock?.release()).toBe(false)
    await using lease = await other.tryAcquire('mutex')
    expect(lease?.isHeld).toBe(true)
    expect(await one.tryAdvisoryLock('mutex')).toBeNull()
  })

  test('ends with its connection, and says so', async () => {
    const { client } = openClient(database)
    const lock = await client.tryAdvisoryLock('torn')
    const session = await database.connect()
    await session.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks
       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    )
    expect(await aborted(lock?.signal ?? AbortSignal.abort())).toBeInstanceOf(LeaseLostError)
    expect(lock?.isHeld).toBe(false)
    expect(await lock?.release()).toBe(false)
    const again = await client.tryAdvisoryLock('torn')
    expect(again?.isHeld).toBe(true)
  })
})
