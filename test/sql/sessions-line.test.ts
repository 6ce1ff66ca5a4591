import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { acquire, grantTo, useDatabase } from './leases.ts'
import { standAll } from './line.ts'
import { expireSession, isThere, keeperOf, keepIn, openSession, renewIn, renewLate } from './sessions.ts'
import { share, sharersOf, shareTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let third: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  third = await database.connect()
})

beforeEach(async () => {
  for (const session of [client, other, third]) await session.query('ROLLBACK')
})

describe('those who wait for a lease of a session that has run out', () => {
  test('take their turns, the first at once', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'line', 'ada')
    await standAll(third, 'line', 'bob', 'eve')
    await expireSession(client, session, '1 millisecond')
    expect((await acquire(other, 'line', 'eve')).granted).toBe(false)
    expect((await acquire(other, 'line', 'bob')).granted).toBe(true)
  })

  test('take their turns also where the session was ended with another of its leases', async () => {
    const session = await openSession(client, 'ada')
    for (const name of ['ended with', 'line of another']) await keepIn(client, session, name, 'ada')
    await standAll(third, 'line of another', 'bob', 'eve')
    await expireSession(client, session)
    await grantTo(other, 'ended with', 'eve')
    expect((await acquire(other, 'line of another', 'eve')).granted).toBe(false)
    expect(await keeperOf(client, 'line of another')).toBeNull()
    expect((await acquire(other, 'line of another', 'bob')).granted).toBe(true)
  })

  test('need not wait for the dead for ever', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'dead line', 'ada')
    await standAll(third, 'dead line', 'dead', 'eve')
    await expireSession(client, session)
    expect((await acquire(other, 'dead line', 'eve')).granted).toBe(true)
  })
})

describe('a share that a session keeps', () => {
  async function keptShare(name: string, session: string) {
    const kept = await shareTo(client, name, 'ada', { capacity: 1 })
    await renewIn(client, session, kept.lease, kept.token)
    return kept
  }

  test('is free once that has run out, and ends it', async () => {
    const session = await openSession(client, 'ada')
    await keptShare('permit', session)
    expect((await share(other, 'permit', 'bob')).granted).toBe(false)
    await expireSession(client, session)
    expect((await share(other, 'permit', 'bob')).granted).toBe(true)
    expect(await isThere(client, session)).toBe(false)
  })

  test('has its room while its session is being renewed', async () => {
    const session = await openSession(client, 'ada')
    await keptShare('renewed permit', session)
    await client.query('BEGIN')
    await renewLate(client, other, session)
    expect((await share(other, 'renewed permit', 'bob')).granted).toBe(false)
    await client.query('COMMIT')
    expect(await sharersOf(other, 'renewed permit')).toEqual(['ada'])
  })
})
