import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { acquire, failureOf, grantTo, holderOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import {
  acquireIn,
  endSession,
  expireSession,
  keepIn,
  openSession,
  renewIn,
  renewSession,
} from './sessions.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

const UNKNOWN = '00000000-0000-0000-0000-000000000000'

describe('a session that never was', () => {
  test('is not renewed and not ended', async () => {
    for (const session of [UNKNOWN, null as unknown as string]) {
      expect(await renewSession(client, session)).toEqual({
        granted: false,
        expiresInMs: null,
        mustReopen: false,
        lost: [],
      })
      expect(await endSession(client, session)).toBe(false)
    }
  })

  test('keeps nothing, and the error says which it is', async () => {
    const token = await grantTo(client, 'plain', 'ada')
    const calls = [
      `elect.acquire_lease('x', 'ada', session => '${UNKNOWN}')`,
      `elect.acquire_lease('plain', 'bob', session => '${UNKNOWN}')`,
      `elect.acquire_leases('{x}', '{ada}', '{15 s}', session => '${UNKNOWN}')`,
      `elect.renew_lease('plain', ${token}, session => '${UNKNOWN}')`,
      `elect.renew_leases('{plain}', '{${token}}', session => '${UNKNOWN}')`,
    ]
    for (const call of calls) {
      expect([call, await failureOf(client.query(`SELECT * FROM ${call}`))]).toMatchObject([
        call,
        { code: 'LE004', message: `Session ${UNKNOWN} has ended` },
      ])
    }
    expect(await holderOf(client, 'x')).toBeUndefined()
    expect(await holderOf(client, 'plain')).toBe('ada')
  })

  test('does not hinder a release, which proves itself by its token', async () => {
    const token = await grantTo(client, 'released', 'ada')
    const text = 'SELECT elect.release_lease($1, $2, session => $3)'
    expect(await scalar(client, text, ['released', token, UNKNOWN])).toBe(true)
    const many = await grantTo(client, 'released', 'ada')
    const all = 'SELECT released FROM elect.release_leases(ARRAY[$1], ARRAY[$2::bigint], session => $3)'
    expect(await scalar(client, all, ['released', many, UNKNOWN])).toBe(true)
  })
})

test('null is no session: the lease has a ttl of its own', async () => {
  expect(await acquireIn(client, null, 'of its own', 'ada')).toMatchObject({
    granted: true,
    expiresInMs: 15_000,
  })
})

test.each([
  [`elect.open_session('')`, 'holder'],
  ['elect.open_session(null)', 'holder'],
  [`elect.open_session('${'h'.repeat(501)}')`, 'holder'],
  [`elect.open_session('ada', null)`, 'ttl'],
  [`elect.open_session('ada', '99 milliseconds')`, 'ttl'],
  [`elect.open_session('ada', '25 hours')`, 'ttl'],
  [`elect.open_session('ada', '1 month')`, 'ttl'],
])('%s is refused, and the error says what is wrong', async (call, argument) => {
  const failure = await failureOf(client.query(`SELECT ${call}`))
  expect(failure).toMatchObject({ code: '22023', message: expect.stringContaining(`Invalid ${argument}`) })
})

test('each opening is another session', async () => {
  const sessions = [await openSession(client, 'ada'), await openSession(client, 'ada')]
  expect(new Set(sessions).size).toBe(2)
  const token = await keepIn(client, sessions[0] ?? '', 'of the first', 'ada')
  await expireSession(client, sessions[0] ?? '')
  expect(await renewSession(client, sessions[1] ?? '')).toMatchObject({ granted: true })
  expect((await acquire(client, 'of the first', 'bob')).token).toBeGreaterThan(token)
})

test('whoever only looks whether a lease can be had locks no session, and binds nothing', async () => {
  const session = await openSession(client, 'ada')
  const token = await grantTo(client, 'held by bob', 'bob')
  expect(await acquireIn(client, session, 'held by bob', 'ada')).toMatchObject({ granted: false, token })
  expect(await renewIn(client, session, 'held by bob', token + 1)).toMatchObject({
    granted: false,
    holder: 'bob',
  })
})

test('in a transaction that may only read, sessions are neither opened, renewed nor ended', async () => {
  const session = await openSession(client, 'ada')
  await keepIn(client, session, 'read only', 'ada')
  for (const call of [
    `elect.open_session('ada')`,
    `elect.renew_session('${session}')`,
    `elect.end_session('${session}')`,
  ]) {
    await client.query('BEGIN READ ONLY')
    expect([call, await sqlStateOf(client.query(`SELECT ${call}`))]).toEqual([call, '25006'])
    await client.query('ROLLBACK')
  }
  await client.query('BEGIN READ ONLY')
  expect(await holderOf(client, 'read only')).toBe('ada')
  await client.query('ROLLBACK')
})
