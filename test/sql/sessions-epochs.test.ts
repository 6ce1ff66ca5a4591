/** Sessions after a fail-over, which is stood in for as in epochs.test.ts. */
import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  acquire,
  failureOf,
  grantTo,
  inTransaction,
  release,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  useDatabase,
} from './leases.ts'
import { beginInOldEpoch, promote, restart } from './promotions.ts'
import {
  acquireIn,
  endSession,
  expireSession,
  keeperOf,
  keepIn,
  openSession,
  renewIn,
  renewSession,
} from './sessions.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

const MINUTE_MS = 60_000

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

beforeEach(() => beginInOldEpoch(client))

const mustReopen = { granted: false, mustReopen: true, expiresInMs: null }

describe('in a new epoch', () => {
  test('a session is not renewed, and its leases move into another under their tokens', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'moves on', 'ada')
    await promote(client)
    expect(await renewSession(client, session)).toMatchObject(mustReopen)
    expect(await renewSession(client, session)).toMatchObject(mustReopen)
    const next = await openSession(client, 'ada')
    expect(await renewIn(client, next, 'moves on', token)).toMatchObject({ granted: true, token })
    await endSession(client, session)
    expect(await renewSession(client, next)).toMatchObject({ granted: true, mustReopen: false, lost: [] })
    expect(await keeperOf(client, 'moves on')).toBe(next)
    // Renewed in the new epoch, it is settled: once it ends, nobody waits for a grace.
    await expireSession(client, next)
    expect((await acquire(other, 'moves on', 'bob')).granted).toBe(true)
  })

  test('so it is after a restore that an operator tells of', async () => {
    const session = await openSession(client, 'ada')
    await client.query("SELECT elect.new_epoch('restored')")
    expect(await renewSession(client, session)).toMatchObject(mustReopen)
  })

  test('which a restart of the server is not', async () => {
    const session = await openSession(client, 'ada')
    await restart(client)
    expect(await renewSession(client, session)).toMatchObject({ granted: true, mustReopen: false })
  })

  test('a session that has run out need not be reopened: its leases are gone', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'gone', 'ada')
    await expireSession(client, session)
    await promote(client)
    expect(await renewSession(client, session)).toMatchObject({ granted: false, mustReopen: false })
    expect(await renewIn(client, await openSession(client, 'ada'), 'gone', token)).toMatchObject({
      granted: false,
    })
  })

  test('nothing is kept by a session of the one before', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'kept before', 'ada')
    await promote(client)
    expect(await failureOf(renewIn(client, session, 'kept before', token))).toMatchObject({
      code: 'LE004',
    })
    await client.query('SELECT elect.configure(grace => false)')
    expect(await sqlStateOf(acquireIn(client, session, 'new', 'ada'))).toBe('LE004')
    expect(await sqlStateOf(acquireIn(client, session, 'kept before', 'ada'))).toBe('LE004')
  })

  test('its leases are in their grace as others are, also after its end', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'graced', 'ada')
    await promote(client)
    await acquire(other, 'first to see it', 'bob')
    expect(await acquire(other, 'graced', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    await expireSession(client, session)
    const refused = await acquire(other, 'graced', 'bob')
    expect(refused).toMatchObject({ granted: false, holder: null })
    expect(refused.expiresInMs).toBeGreaterThan(50_000)
    expect(refused.expiresInMs).toBeLessThanOrEqual(MINUTE_MS)
    await client.query(
      "SELECT setval('elect.epoch_seen', last_value - 61 * 1000000::bigint) FROM elect.epoch_seen",
    )
    expect(await acquire(other, 'graced', 'bob')).toMatchObject({ granted: true })
  })

  test('where all are in their grace, many are refused as one is, whatever has become of the session', async () => {
    const session = await openSession(client, 'ada')
    const names = ['graced 1', 'graced 2']
    for (const name of names) await release(client, name, await grantTo(client, name, 'ada', '1 minute'))
    await promote(client)
    await acquire(other, 'first to see the epoch', 'bob')
    const text = `SELECT granted, holder, expires_in > '1 second' AS waits
      FROM elect.acquire_leases($1, '{bob,bob}', ARRAY[interval '1 min', '1 min'], session => $2)`
    const refused = { granted: false, holder: null, waits: true }
    expect(await rowsOf(client, text, [names, session])).toEqual([refused, refused])
  })

  test('the holder by name alone waits for the grace, also with a session', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'by name', 'ada')
    await promote(client)
    const next = await openSession(client, 'ada')
    expect(await acquireIn(client, next, 'by name', 'ada')).toMatchObject({ granted: false, holder: null })
    expect(await keeperOf(client, 'by name')).toBe(session)
  })

  test('a lease moves with its promise, though the session that takes it is short', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    const token = await keepIn(client, session, 'promise', 'ada')
    await promote(client)
    const next = await openSession(client, 'ada', '1 second')
    expect((await renewIn(client, next, 'promise', token)).expiresInMs).toBeGreaterThan(50_000)
    const { epoch } = await stored(client, 'promise')
    expect(await scalar(client, 'SELECT epoch::float8 FROM elect.sessions WHERE session = $1', [next])).toBe(
      epoch,
    )
  })

  test('the first to see it may be a session that is renewed and rolled back', async () => {
    const session = await openSession(client, 'ada')
    await promote(client)
    await inTransaction(client, async () => {
      expect(await renewSession(client, session)).toMatchObject(mustReopen)
    })
    expect(Number(await scalar(client, 'SELECT last_value FROM elect.epoch_seen'))).toBeGreaterThan(1)
    expect(await acquire(other, 'anything', 'bob')).toMatchObject({ granted: false, holder: null })
  })
})
