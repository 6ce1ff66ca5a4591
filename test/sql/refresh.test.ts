import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { backendPid } from '../support/postgres/session.ts'
import { failureOf, grantTo, inTransaction, oneRow, release, rowsOf, stored, useDatabase } from './leases.ts'
import { candidacy, leave, placesOf, refresh, stand, standAll, voidPlace } from './line.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  // Nothing here waits: what does fails, instead of leaving it to the time limit of the test.
  await client.query("SET lock_timeout = '2s'")
})

interface Place {
  readonly backend: number
  readonly arrival: string
  readonly arrived_at: Date
  readonly seen_at: Date
  readonly expires_at: Date
  /** From the last sign of life to the expiry. */
  readonly given: string
}

function placeOf(name: string, candidate: string): Promise<Place> {
  const text = `SELECT backend, arrival, arrived_at, seen_at, expires_at, (expires_at - seen_at)::text AS given
    FROM elect.candidates WHERE lease = $1 AND candidate = $2`
  return oneRow<Place & pg.QueryResultRow>(client, text, [name, candidate])
}

test('keeps places for another ttl of each, and moves them to the session that asks', async () => {
  await grantTo(client, 'kept', 'ada')
  await stand(other, 'kept', 'bob', { ttl: '10 minutes' })
  await stand(other, 'kept', 'carol', { ttl: '20 minutes' })
  const before = await placeOf('kept', 'bob')
  expect(before.backend).toBe(await backendPid(other))
  await refresh(client, ['kept', 'bob'], ['kept', 'carol'])
  const after = await placeOf('kept', 'bob')
  expect(after).toMatchObject({
    backend: await backendPid(client),
    arrival: before.arrival,
    arrived_at: before.arrived_at,
    given: '00:10:00',
  })
  expect(await placeOf('kept', 'carol')).toMatchObject({ given: '00:20:00' })
  // By the row, for the server tells microseconds apart where a Date does not.
  const later = "SELECT seen_at > arrived_at AS later FROM elect.candidates WHERE candidate = 'bob'"
  expect(await rowsOf(client, later)).toEqual([{ later: true }])
})

test('answers for each, in the order asked for, as get_candidacy does', async () => {
  const token = await grantTo(client, 'one', 'ada')
  await standAll(client, 'one', 'bob', 'carol')
  const handed = await grantTo(client, 'two', 'ada')
  await standAll(client, 'two', 'carol')
  await release(client, 'two', handed)
  const asked: [string, string][] = [
    ['two', 'carol'],
    ['one', 'carol'],
    ['never was', 'bob'],
    ['one', 'bob'],
    ['one', 'eve'],
    ['two', 'bob'],
    ['one', 'bob'],
  ]
  const answers = await refresh(client, ...asked)
  expect(answers.map(({ lease, granted, holder, rank }) => [lease, granted, holder, rank])).toEqual([
    ['two', true, 'carol', null],
    ['one', false, 'ada', 1],
    [null, false, null, null],
    ['one', false, 'ada', 0],
    ['one', false, 'ada', null],
    ['two', false, 'carol', null],
    ['one', false, 'ada', 0],
  ])
  expect(answers[0]?.token).toBe((await stored(client, 'two')).token)
  expect(answers[1]?.token).toBe(token)
  for (const [index, [name, holder]] of asked.entries()) {
    const { expiresInMs: _then, ...answer } = answers[index] ?? {}
    expect(await candidacy(client, name, holder)).toMatchObject(answer)
  }
})

test('gives nobody a place that had none, or has given it up', async () => {
  await grantTo(client, 'no place', 'ada')
  await standAll(client, 'no place', 'bob')
  await leave(client, 'no place', 'bob')
  expect(await refresh(client, ['no place', 'bob'], ['no place', 'eve'])).toMatchObject([
    { granted: false, holder: 'ada', rank: null },
    { granted: false, holder: 'ada', rank: null },
  ])
  expect(await placesOf(client, 'no place')).toEqual([])
})

test('does not tell the holder that it waits', async () => {
  const token = await grantTo(client, 'holder', 'ada')
  const before = await stored(client, 'holder')
  expect(await refresh(client, ['holder', 'ada'])).toMatchObject([{ granted: true, token, rank: null }])
  // It is no renewal.
  expect(await stored(client, 'holder')).toEqual(before)
})

test('passes over a place that another transaction is at, and keeps the others', async () => {
  await grantTo(client, 'busy', 'ada')
  await standAll(client, 'busy', 'bob', 'carol')
  const bob = await placeOf('busy', 'bob')
  const carol = await placeOf('busy', 'carol')
  await inTransaction(other, async () => {
    await leave(other, 'busy', 'bob')
    expect(await refresh(client, ['busy', 'bob'], ['busy', 'carol'])).toMatchObject([
      { granted: false, rank: 0 },
      { granted: false, rank: 1 },
    ])
  })
  expect(await placeOf('busy', 'bob')).toEqual(bob)
  expect(Number((await placeOf('busy', 'carol')).expires_at)).toBeGreaterThan(Number(carol.expires_at))
})

test('does not wait for a hand-off that is not committed, and tells of it afterwards', async () => {
  const token = await grantTo(client, 'handing', 'ada')
  await standAll(client, 'handing', 'bob')
  await other.query('BEGIN')
  await release(other, 'handing', token)
  expect(await refresh(client, ['handing', 'bob'])).toMatchObject([
    { granted: false, holder: 'ada', rank: 0 },
  ])
  await other.query('COMMIT')
  expect(await refresh(client, ['handing', 'bob'])).toMatchObject([
    { granted: true, holder: 'bob', rank: null },
  ])
})

test('nothing is answered where nothing is asked for', async () => {
  expect(await refresh(client)).toEqual([])
})

test('one bad argument spoils the call, and then none is refreshed', async () => {
  await grantTo(client, 'spoiled', 'ada')
  await standAll(other, 'spoiled', 'bob')
  const before = await placeOf('spoiled', 'bob')
  for (const bad of [
    ['spoiled', ''],
    ['', 'bob'],
  ] as [string, string][]) {
    expect((await failureOf(refresh(client, ['spoiled', 'bob'], bad))).code).toBe('22023')
  }
  expect(await placeOf('spoiled', 'bob')).toEqual(before)
})

test('a thousand places are kept by one statement, at one moment', async () => {
  const names = Array.from({ length: 1000 }, (_, index) => `many ${index}`)
  await client.query(`SELECT elect.acquire_lease(n, 'ada', '1 hour') FROM unnest($1::text[]) n`, [names])
  await client.query(
    `SELECT elect.acquire_lease(n, 'bob', '1 hour', wait => true) FROM unnest($1::text[]) n`,
    [names],
  )
  const answers = await refresh(other, ...names.map((name): [string, string] => [name, 'bob']))
  expect(answers.map(({ lease }) => lease)).toEqual(names)
  expect(new Set(answers.map(({ rank }) => rank))).toEqual(new Set([0]))
  const moments = `SELECT count(DISTINCT seen_at)::int AS moments, count(DISTINCT backend)::int AS sessions
    FROM elect.candidates WHERE lease = ANY ($1)`
  expect(await oneRow(client, moments, [names])).toEqual({ moments: 1, sessions: 1 })
})

test('a place that has run out stays void: others have been told that they go before', async () => {
  await grantTo(client, 'run out', 'ada')
  await standAll(client, 'run out', 'bob', 'carol')
  await voidPlace(client, 'run out', 'bob')
  expect(await candidacy(client, 'run out', 'bob')).toMatchObject({ granted: false, rank: null })
  expect(await refresh(client, ['run out', 'carol'], ['run out', 'bob'])).toMatchObject([
    { rank: 0 },
    { rank: null },
  ])
  expect(await stand(client, 'run out', 'bob')).toMatchObject({ rank: 1 })
})
