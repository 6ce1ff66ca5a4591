import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  grantTo,
  nobodyKnown,
  release,
  renew,
  stored,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let one: pg.Client
let other: pg.Client

beforeAll(async () => {
  one = await database.connect()
  other = await database.connect()
})

test('a renewal extends the lease and leaves the grant as it was', async () => {
  const grant = await acquire(one, 'renewed', 'ada', '1 second', { url: 'http://ada' })
  const before = await stored(one, 'renewed')
  const renewal = await renew(other, 'renewed', Number(grant.token), '1 minute')
  expect(renewal).toEqual({ ...grant, version: Number(grant.version) + 1, expiresInMs: 60_000 })
  expect(await stored(one, 'renewed')).toMatchObject({
    token: before.token,
    epoch: before.epoch,
    acquired_at: before.acquired_at,
    metadata: { url: 'http://ada' },
    given: '00:01:00',
  })
})

test('without a ttl a renewal repeats the last one', async () => {
  const token = await grantTo(one, 'repeated', 'ada', '7 seconds')
  expect(await renew(one, 'repeated', token)).toMatchObject({ granted: true, expiresInMs: 7000 })
  expect(await renew(one, 'repeated', token, '9 seconds')).toMatchObject({ expiresInMs: 9000 })
  await renew(one, 'repeated', token)
  expect(await stored(one, 'repeated')).toMatchObject({ given: '00:00:09', ttl: '00:00:09' })
})

test('a renewal never shortens what was promised', async () => {
  const token = await grantTo(one, 'promised', 'ada', '1 hour')
  const { expires_at } = await stored(one, 'promised')
  const renewal = await renew(one, 'promised', token, '100 milliseconds')
  expect(renewal.granted).toBe(true)
  // The answer tells what the row has, not what was asked for.
  expect(renewal.expiresInMs).toBeGreaterThan(3_000_000)
  expect(await stored(one, 'promised')).toMatchObject({ expires_at, ttl: '00:00:00.1' })
})

test('an expired lease is neither renewed nor given back, though nobody else has it', async () => {
  const token = await grantTo(one, 'expired', 'ada', '100 milliseconds')
  await untilExpired(one, 'expired')
  const before = await stored(one, 'expired')
  expect(await renew(one, 'expired', token, '1 minute')).toEqual(nobodyKnown)
  expect(await release(one, 'expired', token)).toBe(false)
  expect(await stored(one, 'expired')).toEqual(before)
})

test('an overtaken holder is told who leads', async () => {
  const old = await grantTo(one, 'overtaken', 'ada', '100 milliseconds')
  await untilExpired(one, 'overtaken')
  const token = await grantTo(other, 'overtaken', 'bob')
  expect(await renew(one, 'overtaken', old)).toMatchObject({ granted: false, holder: 'bob', token })
})

test('even the same holder cannot renew an older grant of its own', async () => {
  const old = await grantTo(one, 'own older', 'ada', '100 milliseconds')
  await untilExpired(one, 'own older')
  const token = await grantTo(one, 'own older', 'ada')
  expect(await renew(one, 'own older', old)).toMatchObject({ granted: false, holder: 'ada', token })
})

test('a released lease, a transferred one, an unknown token and an unknown name are refused', async () => {
  const released = await grantTo(one, 'released', 'ada')
  await release(one, 'released', released)
  expect(await renew(one, 'released', released)).toEqual(nobodyKnown)

  const transferred = await grantTo(one, 'transferred', 'ada')
  await transfer(one, 'transferred', transferred, 'bob')
  expect(await renew(one, 'transferred', transferred)).toMatchObject({ granted: false, holder: 'bob' })

  const token = await grantTo(one, 'known', 'ada')
  expect(await renew(one, 'known', token + 1)).toMatchObject({ granted: false, holder: 'ada', token })
  expect(await renew(one, 'unknown', token)).toEqual(nobodyKnown)
})

test('a renewal that has waited, but not for too long, counts from when it got the row', async () => {
  const token = await grantTo(one, 'late', 'ada', '1 minute')
  await one.query('BEGIN')
  await one.query("SELECT FROM elect.leases WHERE name = 'late' FOR UPDATE")
  const pid = await backendPid(other)
  const renewal = renew(other, 'late', token)
  await whenBlocked(one, pid)
  const { rows } = await one.query<{ at: Date }>('SELECT clock_timestamp() AS at')
  await one.query('COMMIT')
  expect(await renewal).toMatchObject({ granted: true, expiresInMs: 60_000 })
  const { renewed_at } = await stored(one, 'late')
  expect(renewed_at.getTime()).toBeGreaterThanOrEqual(Number(rows[0]?.at.getTime()))
})

test('a renewal that meets a takeover under way is refused when that commits', async () => {
  const old = await grantTo(one, 'meets', 'ada', '150 milliseconds')
  await untilExpired(one, 'meets')
  await one.query('BEGIN')
  const token = await grantTo(one, 'meets', 'bob')
  const pid = await backendPid(other)
  const renewal = renew(other, 'meets', old)
  await whenBlocked(one, pid)
  await one.query('COMMIT')
  expect(await renewal).toMatchObject({ granted: false, holder: 'bob', token })
})

test('the clock is read for each renewal, not once a transaction', async () => {
  const token = await grantTo(one, 'transaction', 'ada', '150 milliseconds')
  await other.query('BEGIN')
  expect((await renew(other, 'transaction', token)).granted).toBe(true)
  const first = await stored(other, 'transaction')
  expect((await renew(other, 'transaction', token)).granted).toBe(true)
  const second = await stored(other, 'transaction')
  await untilExpired(other, 'transaction')
  expect((await renew(other, 'transaction', token)).granted).toBe(false)
  await other.query('ROLLBACK')
  expect(Number(second.expires_at)).toBeGreaterThanOrEqual(Number(first.expires_at))
})
