import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  guard,
  holderOf,
  inTransaction,
  renew,
  scalar,
  stored,
  untilExpired,
  useDatabase,
} from './leases.ts'

// A row that was written in the future is what the table looks like after the clock of the server has gone back:
// the tests move the row instead of the clock.

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

async function grantAnHourAhead(name: string, ttl: string): Promise<number> {
  const token = await grantTo(client, name, 'ada', ttl)
  await moveAhead(name)
  return token
}

async function moveAhead(name: string): Promise<void> {
  await client.query(
    `UPDATE elect.leases
     SET acquired_at = acquired_at + interval '1 hour', renewed_at = renewed_at + interval '1 hour',
         expires_at = expires_at + interval '1 hour'
     WHERE name = $1`,
    [name],
  )
}

/** Whether the row was written, and expires, no later than its ttl from now. */
function withinItsTtl(name: string): Promise<boolean> {
  const text = `SELECT renewed_at <= clock_timestamp() AND expires_at <= clock_timestamp() + ttl
    FROM elect.leases WHERE name = $1`
  return scalar(client, text, [name])
}

test('the first contender cuts a lease from the future to the time that it was given', async () => {
  const token = await grantAnHourAhead('cut', '2 minutes')
  const refusal = await acquire(other, 'cut', 'bob')
  expect(refusal).toMatchObject({ granted: false, holder: 'ada', token, version: token + 1 })
  expect(refusal.expiresInMs).toBeGreaterThan(100_000)
  expect(refusal.expiresInMs).toBeLessThanOrEqual(120_000)
  expect(await stored(client, 'cut')).toMatchObject({ holder: 'ada', token, given: '00:02:00' })
  expect(await withinItsTtl('cut')).toBe(true)
})

test('a candidate that keeps its place cuts a lease from the future, as it does not ask again', async () => {
  const token = await grantTo(client, 'waited for', 'ada', '2 minutes')
  await other.query(`SELECT elect.acquire_lease('waited for', 'bob', wait => true)`)
  await moveAhead('waited for')
  expect(await withinItsTtl('waited for')).toBe(false)
  const text = `SELECT holder, rank, expires_in <= '2 minutes' AS cut FROM elect.refresh_candidates(ARRAY['waited for'], ARRAY['bob'])`
  const { rows } = await other.query(text)
  expect(rows).toEqual([{ holder: 'ada', rank: 0, cut: true }])
  expect(await stored(client, 'waited for')).toMatchObject({ holder: 'ada', token })
  expect(await withinItsTtl('waited for')).toBe(true)
})

test('a lease that was cut is cut no further by the next contender', async () => {
  await grantAnHourAhead('once', '2 minutes')
  await acquire(other, 'once', 'bob')
  const before = await stored(client, 'once')
  await acquire(other, 'once', 'eve')
  expect(await stored(client, 'once')).toEqual(before)
})

test('nothing sticks: what was cut expires and is granted to another', async () => {
  const token = await grantAnHourAhead('unstuck', '150 milliseconds')
  await acquire(other, 'unstuck', 'bob')
  await untilExpired(client, 'unstuck')
  expect(await grantTo(other, 'unstuck', 'bob')).toBeGreaterThan(token)
})

test('its holder still has it, renews it, and is then bound to the new time', async () => {
  const token = await grantAnHourAhead('kept', '2 minutes')
  await inTransaction(client, () => guard(client, 'kept', token))
  expect(await renew(client, 'kept', token)).toMatchObject({ granted: true, expiresInMs: 120_000 })
  expect(await withinItsTtl('kept')).toBe(true)

  const many = await grantAnHourAhead('kept by many', '2 minutes')
  const text = 'SELECT granted FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint])'
  expect(await scalar(client, text, ['kept by many', many])).toBe(true)
  expect(await withinItsTtl('kept by many')).toBe(true)

  await grantAnHourAhead('kept by retry', '2 minutes')
  expect(await acquire(client, 'kept by retry', 'ada', '2 minutes')).toMatchObject({ expiresInMs: 120_000 })
  expect(await withinItsTtl('kept by retry')).toBe(true)
})

test('whoever looks sees at most the time that was given, and changes nothing', async () => {
  await grantAnHourAhead('seen', '2 minutes')
  const before = await stored(client, 'seen')
  const seen = "SELECT expires_in <= '2 minutes' FROM elect.get_lease('seen')"
  expect(await scalar(client, seen)).toBe(true)
  const listed = "SELECT expires_in <= '2 minutes' FROM elect.current_leases WHERE name = 'seen'"
  expect(await scalar(client, listed)).toBe(true)
  expect(await stored(client, 'seen')).toEqual(before)
})

test('the time that it was given counts, where its holder asked for less at the last renewal', async () => {
  const token = await grantTo(client, 'promised', 'ada', '10 minutes')
  await renew(client, 'promised', token, '1 second')
  await client.query(
    `UPDATE elect.leases SET renewed_at = renewed_at + interval '1 hour', expires_at = expires_at + interval '1 hour'
     WHERE name = 'promised'`,
  )
  const { expiresInMs } = await acquire(other, 'promised', 'bob')
  expect(expiresInMs).toBeGreaterThan(500_000)
  expect(expiresInMs).toBeLessThanOrEqual(600_000)
})

test('a contender does not wait for who is at a lease from the future', async () => {
  await grantAnHourAhead('busy', '2 minutes')
  await other.query("SET lock_timeout = '2s'")
  await inTransaction(client, async () => {
    await client.query("SELECT FROM elect.leases WHERE name = 'busy' FOR UPDATE")
    expect((await acquire(other, 'busy', 'bob')).granted).toBe(false)
  })
  expect(await holderOf(client, 'busy')).toBe('ada')
})

test('a vacant lease from the future is granted at once, under a larger token', async () => {
  const token = await grantAnHourAhead('vacant', '2 minutes')
  const ahead = token + 3_600_000_000
  await client.query("UPDATE elect.leases SET holder = NULL, token = $1 WHERE name = 'vacant'", [ahead])
  expect(await grantTo(other, 'vacant', 'bob')).toBe(ahead + 1)
  expect(await withinItsTtl('vacant')).toBe(true)
})

test('a lease is vacant from the very microsecond at which it expires', async () => {
  await grantTo(client, 'boundary', 'ada')
  const text = `SELECT ARRAY[elect.is_held(l, expires_at - interval '1 microsecond'), elect.is_held(l, expires_at)]
    FROM elect.leases l WHERE name = 'boundary'`
  expect(await scalar(client, text)).toEqual([true, false])
})
