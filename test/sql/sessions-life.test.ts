import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  failureOf,
  grantTo,
  holderOf,
  inTransaction,
  nobodyKnown,
  oneRow,
  release,
  renew,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  swap,
  useDatabase,
} from './leases.ts'
import {
  acquireIn,
  endSession,
  expireSession,
  isThere,
  keeperOf,
  keepIn,
  openSession,
  releaseIn,
  renewIn,
  renewSession,
} from './sessions.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

const ended = { granted: false, expiresInMs: null, mustReopen: false, lost: [] }

describe('a session', () => {
  test('keeps its leases for as long as it lasts, by one row', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    const tokens = [await keepIn(client, session, 'a', 'ada'), await keepIn(client, session, 'b', 'ada 2')]
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? 0)
    const before = await stored(client, 'a')
    expect(before).toMatchObject({ expires_at: null, ttl: '00:01:00' })
    expect(await acquire(other, 'a', 'bob')).toMatchObject({ granted: false, holder: 'ada' })

    // Nearly over, and renewed: the leases are not written.
    await client.query(
      "UPDATE elect.sessions SET expires_at = clock_timestamp() + '5 seconds' WHERE session = $1",
      [session],
    )
    expect((await acquire(other, 'b', 'bob')).expiresInMs).toBeLessThanOrEqual(5_000)
    const renewed = await renewSession(client, session)
    expect(renewed).toMatchObject({ granted: true, mustReopen: false, lost: [] })
    expect(renewed.expiresInMs).toBeGreaterThan(59_900)
    expect((await acquire(other, 'b', 'bob')).expiresInMs).toBeGreaterThan(50_000)
    expect(await stored(client, 'a')).toEqual(before)
  })

  test('that has run out is not renewed, nor is anything kept by it', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'run out', 'ada')
    await expireSession(client, session)
    expect(await renewSession(client, session)).toEqual(ended)
    expect(await holderOf(other, 'run out')).toBeUndefined()
    expect(await renewIn(client, null, 'run out', token)).toEqual(nobodyKnown)
    expect(await renewIn(client, session, 'run out', token)).toEqual(nobodyKnown)
    expect(await releaseIn(client, session, 'run out', token)).toBe(false)
    for (const ask of [
      acquireIn(client, session, 'run out', 'ada'),
      acquireIn(client, session, 'new', 'ada'),
    ]) {
      expect(await failureOf(ask)).toMatchObject({
        code: 'LE004',
        message: `Session ${session} has ended`,
        hint: expect.stringContaining('open_session'),
      })
    }
    expect((await acquire(other, 'run out', 'bob')).token).toBeGreaterThan(token)
  })

  test('is ended by its own process: its leases are vacant at once', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'ended', 'ada')
    expect(await endSession(client, session)).toBe(true)
    expect(await isThere(client, session)).toBe(false)
    expect(await renewSession(client, session)).toEqual(ended)
    expect(await endSession(client, session)).toBe(false)
    expect(await renewIn(client, null, 'ended', token)).toEqual(nobodyKnown)
    await grantTo(other, 'ended', 'bob')
  })

  test('that has run out was ended already', async () => {
    const session = await openSession(client, 'ada')
    await expireSession(client, session)
    expect(await endSession(client, session)).toBe(false)
    expect(await isThere(client, session)).toBe(false)
  })

  test('keeps the same lease under the same token where it is asked for again', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'twice', 'ada')
    expect(await acquireIn(client, session, 'twice', 'ada')).toMatchObject({ granted: true, token })
    expect((await renewSession(client, session)).lost).toEqual([])
  })

  test('is told of no loss where it gives a lease back itself', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'given back', 'ada')
    expect(await releaseIn(client, session, 'given back', token)).toBe(true)
    const many = await keepIn(client, session, 'given back too', 'ada')
    const text = 'SELECT released FROM elect.release_leases($1, $2, session => $3)'
    expect(await scalar(client, text, [['given back too'], [many], session])).toBe(true)
    expect((await renewSession(client, session)).lost).toEqual([])
    expect(await keeperOf(client, 'given back')).toBeNull()
    await grantTo(other, 'given back', 'bob')
  })

  test('takes many at once, and answers for each', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    await grantTo(other, 'many 2', 'bob')
    await release(other, 'many 3', await grantTo(other, 'many 3', 'bob'))
    const text = `SELECT name, granted, holder, round(extract(epoch FROM expires_in)) AS lasts
      FROM elect.acquire_leases($1, array_fill('ada'::text, '{3}'), array_fill('1 s'::interval, '{3}'), session => $2)`
    expect(await rowsOf(client, text, [['many 1', 'many 2', 'many 3'], session])).toEqual([
      { name: 'many 1', granted: true, holder: 'ada', lasts: '60' },
      { name: 'many 2', granted: false, holder: 'bob', lasts: '15' },
      { name: 'many 3', granted: true, holder: 'ada', lasts: '60' },
    ])
    for (const name of ['many 1', 'many 3']) expect(await keeperOf(client, name)).toBe(session)
    await endSession(client, session)
    expect(await sqlStateOf(client.query(text, [['many 1', 'many 2', 'many 3'], session]))).toBe('LE004')
    expect(await holderOf(other, 'many 1')).toBeUndefined()
  })

  test('is shown with its leases, to those who look', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    await keepIn(client, session, 'shown', 'ada')
    const text = `SELECT session, holder, ttl::text, expires_in BETWEEN '55 seconds' AND '1 minute' AS lasts,
        expires_at > clock_timestamp() AS ahead
      FROM elect.current_leases WHERE name = 'shown'`
    expect(await oneRow(client, text)).toEqual({
      session,
      holder: 'ada',
      ttl: '00:01:00',
      lasts: true,
      ahead: true,
    })
    expect(
      await scalar(
        other,
        "SELECT expires_in BETWEEN '55 seconds' AND '1 minute' FROM elect.get_lease('shown')",
      ),
    ).toBe(true)
  })

  test('is renewed durably, also for those who are careless', async () => {
    const session = await openSession(client, 'ada')
    await inTransaction(client, async () => {
      await client.query('SET LOCAL synchronous_commit = off')
      await renewSession(client, session)
      expect(await scalar(client, 'SHOW synchronous_commit')).toBe('on')
    })
    await inTransaction(client, async () => {
      await client.query('SET LOCAL synchronous_commit = off')
      await openSession(client, 'ada')
      expect(await scalar(client, 'SHOW synchronous_commit')).toBe('on')
    })
  })
})

describe('a lease', () => {
  test('moves into a session and out again under its token', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    const token = await grantTo(client, 'moves', 'ada')
    expect(await renewIn(client, session, 'moves', token)).toMatchObject({ granted: true, token })
    expect(await keeperOf(client, 'moves')).toBe(session)
    expect(await renew(client, 'moves', token)).toMatchObject({ granted: true, token })
    expect(await keeperOf(client, 'moves')).toBeNull()
    await endSession(client, session)
    expect(await holderOf(other, 'moves')).toBe('ada')
  })

  test('keeps what its session has promised where it is given a shorter ttl of its own', async () => {
    const session = await openSession(client, 'ada', '1 minute')
    const token = await keepIn(client, session, 'promised', 'ada')
    expect((await renewIn(client, null, 'promised', token, '1 second')).expiresInMs).toBeGreaterThan(55_000)
    const many = await keepIn(client, session, 'promised too', 'ada')
    const text = `SELECT expires_in > '55 seconds' FROM elect.renew_leases(ARRAY['promised too'], ARRAY[$1::bigint], '1 second')`
    expect(await scalar(client, text, [many])).toBe(true)
  })

  test('keeps what it has promised where it moves into a session that would end before', async () => {
    const session = await openSession(client, 'ada', '1 second')
    const token = await grantTo(client, 'longer', 'ada', '1 minute')
    expect((await renewIn(client, session, 'longer', token)).expiresInMs).toBeGreaterThan(55_000)
    expect((await renewSession(client, session)).expiresInMs).toBeGreaterThan(55_000)

    const brief = await openSession(client, 'ada', '1 second')
    const tokens = [
      await grantTo(client, 'longer too', 'ada', '1 minute'),
      await grantTo(client, 'short', 'ada'),
    ]
    const text = `SELECT bool_and(granted AND expires_in > '55 seconds') FROM elect.renew_leases('{longer too,short}', $1, session => $2)`
    expect(await scalar(client, text, [tokens, brief])).toBe(true)
    expect((await renewSession(client, brief)).expiresInMs).toBeGreaterThan(55_000)
    expect(await keeperOf(client, 'longer too')).toBe(brief)
  })

  test('that does not expire does not begin to by moving into a session', async () => {
    const session = await openSession(client, 'ada')
    await swap(client, 'for ever', 'ada', null)
    const { token } = await stored(client, 'for ever')
    expect(await renewIn(client, session, 'for ever', token)).toMatchObject({
      granted: true,
      expiresInMs: null,
    })
    await endSession(client, session)
    expect(await holderOf(other, 'for ever')).toBe('ada')
  })

  test('stops expiring where the register that it is gets its value again', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'register', 'ada')
    expect(await swap(client, 'register', 'ada', 'ada')).toBe(true)
    expect(await stored(client, 'register')).toMatchObject({ holder: 'ada', expires_at: null, ttl: null })
    await endSession(client, session)
    expect(await holderOf(other, 'register')).toBe('ada')
  })

  test('moves with many others into another session', async () => {
    const [from, to] = [await openSession(client, 'ada'), await openSession(client, 'ada')]
    const names = ['of many 1', 'of many 2', 'of many 3']
    const tokens = [
      await keepIn(client, from, 'of many 1', 'ada'),
      await grantTo(client, 'of many 2', 'ada'),
      1,
    ]
    const text = 'SELECT name, granted FROM elect.renew_leases($1, $2, session => $3)'
    expect(await rowsOf(client, text, [names, tokens, to])).toEqual([
      { name: 'of many 1', granted: true },
      { name: 'of many 2', granted: true },
      { name: 'of many 3', granted: false },
    ])
    await endSession(client, from)
    expect(await holderOf(other, 'of many 1')).toBe('ada')
    await expireSession(client, to)
    expect(await holderOf(other, 'of many 1')).toBeUndefined()
    expect(await holderOf(other, 'of many 2')).toBeUndefined()
    expect(await sqlStateOf(client.query(text, [names, tokens, to]))).toBe('LE004')
  })
})

test('sessions that ran out long ago are pruned, their leases with them, and no others', async () => {
  const [gone, recent, alive] = [
    await openSession(client, 'ada'),
    await openSession(client, 'ada'),
    await openSession(client, 'ada'),
  ]
  await keepIn(client, gone, 'pruned', 'ada')
  await keepIn(client, recent, 'not yet', 'ada')
  await keepIn(client, alive, 'alive', 'ada')
  await client.query("UPDATE elect.leases SET renewed_at = renewed_at - interval '3 hours'")
  await expireSession(client, gone, '2 hours')
  await expireSession(client, recent, '1 minute')
  await client.query("SELECT elect.prune_leases('1 hour')")
  expect([await isThere(client, gone), await isThere(client, recent), await isThere(client, alive)]).toEqual([
    false,
    true,
    true,
  ])
  const names = await rowsOf<{ name: string }>(
    client,
    "SELECT name FROM elect.leases WHERE name IN ('pruned', 'not yet', 'alive') ORDER BY name",
  )
  expect(names.map(({ name }) => name)).toEqual(['alive', 'not yet'])
  expect(await renewSession(client, alive)).toMatchObject({ granted: true })
})
