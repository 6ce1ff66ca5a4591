import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { acquire, grantTo, holderOf, inTransaction, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { refresh, standAll } from './line.ts'
import {
  keepIn,
  moveSessionAhead,
  openSession,
  renewIn,
  renewSession,
  untilSessionExpired,
} from './sessions.ts'
import { share, shareTo } from './shares.ts'

// As in clock.test.ts: the row of the session is moved instead of the clock.

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

async function keptAnHourAhead(name: string, ttl: string): Promise<string> {
  const session = await openSession(client, 'ada', ttl)
  await keepIn(client, session, name, 'ada')
  await moveSessionAhead(client, session)
  return session
}

/** Whether the row was written, and expires, no later than its ttl from now. */
function withinItsTtl(session: string): Promise<boolean> {
  const text = `SELECT renewed_at <= clock_timestamp() AND expires_at <= clock_timestamp() + ttl
    FROM elect.sessions WHERE session = $1`
  return scalar(client, text, [session])
}

test('the first contender cuts a session from the future to the time that it was given', async () => {
  const session = await keptAnHourAhead('cut', '2 minutes')
  const refusal = await acquire(other, 'cut', 'bob')
  expect(refusal).toMatchObject({ granted: false, holder: 'ada' })
  expect(refusal.expiresInMs).toBeGreaterThan(100_000)
  expect(refusal.expiresInMs).toBeLessThanOrEqual(120_000)
  expect(await withinItsTtl(session)).toBe(true)
})

test('a contender in a batch cuts it, too', async () => {
  const session = await keptAnHourAhead('cut in a batch', '2 minutes')
  await other.query(`SELECT * FROM elect.acquire_leases('{cut in a batch}', '{bob}', '{15 s}')`)
  expect(await withinItsTtl(session)).toBe(true)
})

test('a candidate that keeps its place cuts it, as it does not ask again', async () => {
  const session = await openSession(client, 'ada', '2 minutes')
  await keepIn(client, session, 'waited for', 'ada')
  await standAll(other, 'waited for', 'bob')
  await moveSessionAhead(client, session)
  const [place] = await refresh(other, ['waited for', 'bob'])
  expect(place).toMatchObject({ holder: 'ada', rank: 0 })
  expect(await withinItsTtl(session)).toBe(true)
})

test('a contender for the share that it keeps cuts it', async () => {
  const session = await openSession(client, 'ada', '2 minutes')
  const { lease, token } = await shareTo(client, 'permit', 'ada', { capacity: 1, ttl: '1 minute' })
  await renewIn(client, session, lease, token)
  await moveSessionAhead(client, session)
  expect((await share(other, 'permit', 'bob')).granted).toBe(false)
  expect(await withinItsTtl(session)).toBe(true)
})

test('nothing sticks: what was cut runs out, and its leases are granted to others', async () => {
  const session = await keptAnHourAhead('unstuck', '150 milliseconds')
  await acquire(other, 'unstuck', 'bob')
  await untilSessionExpired(client, session)
  expect(await renewSession(client, session)).toMatchObject({ granted: false })
  await grantTo(other, 'unstuck', 'bob')
})

test('it goes on, and its next renewal counts from the new time', async () => {
  const session = await keptAnHourAhead('renewed', '2 minutes')
  expect(await renewSession(client, session)).toMatchObject({ granted: true, expiresInMs: 120_000 })
  expect(await withinItsTtl(session)).toBe(true)
  expect((await acquire(other, 'renewed', 'bob')).expiresInMs).toBeLessThanOrEqual(120_000)
})

test('what it had promised then is kept, from now on', async () => {
  const session = await openSession(client, 'ada', '1 second')
  const token = await grantTo(client, 'longer promise', 'ada', '10 minutes')
  await renewIn(client, session, 'longer promise', token)
  await moveSessionAhead(client, session)
  const { expiresInMs } = await renewSession(client, session)
  expect(expiresInMs).toBeGreaterThan(500_000)
  expect(expiresInMs).toBeLessThanOrEqual(600_000)
})

test('whoever looks sees at most the time that was given, and changes nothing', async () => {
  const session = await keptAnHourAhead('seen', '2 minutes')
  expect(await scalar(client, "SELECT expires_in <= '2 minutes' FROM elect.get_lease('seen')")).toBe(true)
  const listed = "SELECT expires_in <= '2 minutes' FROM elect.current_leases WHERE name = 'seen'"
  expect(await scalar(client, listed)).toBe(true)
  expect(await withinItsTtl(session)).toBe(false)
})

test('a contender does not wait for who is at a session from the future', async () => {
  const session = await keptAnHourAhead('busy', '2 minutes')
  await other.query("SET lock_timeout = '2s'")
  await inTransaction(client, async () => {
    await client.query('SELECT FROM elect.sessions WHERE session = $1 FOR UPDATE', [session])
    expect((await acquire(other, 'busy', 'bob')).granted).toBe(false)
  })
  expect(await holderOf(client, 'busy')).toBe('ada')
})

test('a contender leaves the row of a session alone that is of now', async () => {
  const session = await openSession(client, 'ada')
  await keepIn(client, session, 'of now', 'ada')
  await inTransaction(other, async () => {
    await acquire(other, 'of now', 'bob')
    expect(await sqlStateOf(renewSession(client, session))).toBe('00000')
  })
})
