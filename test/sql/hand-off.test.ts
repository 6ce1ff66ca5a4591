import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  failureOf,
  grantTo,
  guard,
  holderOf,
  inTransaction,
  release,
  renew,
  scalar,
  stored,
  useDatabase,
} from './leases.ts'
import { candidacy, endTerm, lineOf, placesOf, refresh, stand, standAll, voidPlace } from './line.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

describe('a release', () => {
  test('grants the lease to the first in line, in the same transaction', async () => {
    const token = await grantTo(client, 'handed', 'ada')
    await standAll(client, 'handed', 'bob', 'carol')
    await inTransaction(client, async () => {
      expect(await release(client, 'handed', token)).toBe(true)
      expect(await holderOf(client, 'handed')).toBe('bob')
      expect(await lineOf(client, 'handed')).toEqual(['carol'])
      expect(await holderOf(other, 'handed')).toBe('ada')
    })
    // Undone: as if nothing had been.
    expect(await holderOf(client, 'handed')).toBe('ada')
    expect(await lineOf(client, 'handed')).toEqual(['bob', 'carol'])
  })

  test('gives the candidate what it asked for, under a larger token, and two seconds to take it up', async () => {
    const token = await grantTo(client, 'wishes', 'ada', '2 hours')
    await stand(client, 'wishes', 'bob', { ttl: '30 minutes', metadata: { url: 'http://bob' } })
    const before = await stored(client, 'wishes')
    await release(client, 'wishes', token)
    const after = await stored(client, 'wishes')
    expect(after).toMatchObject({
      holder: 'bob',
      version: before.version + 1,
      metadata: { url: 'http://bob' },
      ttl: '00:30:00',
      given: '00:00:02',
      renewed_at: after.acquired_at,
    })
    expect(after.token).toBeGreaterThan(token)
    expect(await candidacy(client, 'wishes', 'bob')).toMatchObject({
      lease: 'wishes',
      granted: true,
      holder: 'bob',
      token: after.token,
      metadata: { url: 'http://bob' },
      rank: null,
    })
    // From the first renewal on it is a lease like any other.
    expect(await renew(client, 'wishes', after.token)).toMatchObject({
      granted: true,
      expiresInMs: 1_800_000,
    })
  })

  test('gives no more time than the ttl', async () => {
    const token = await grantTo(client, 'short', 'ada')
    await stand(client, 'short', 'bob', { ttl: '1500 milliseconds' })
    await release(client, 'short', token)
    expect(await stored(client, 'short')).toMatchObject({ holder: 'bob', given: '00:00:01.5' })
  })

  test('goes by priority, one after the other', async () => {
    let token = await grantTo(client, 'chain', 'ada')
    await stand(client, 'chain', 'bob')
    await stand(client, 'chain', 'carol', { priority: 1 })
    await stand(client, 'chain', 'dave', { priority: 1 })
    for (const next of ['carol', 'dave', 'bob']) {
      expect(await release(client, 'chain', token)).toBe(true)
      const { holder, token: larger } = await stored(client, 'chain')
      expect(holder).toBe(next)
      expect(larger).toBeGreaterThan(token)
      token = larger
    }
    expect(await release(client, 'chain', token)).toBe(true)
    expect(await holderOf(client, 'chain')).toBeUndefined()
  })

  test('passes over the dead, and removes their places', async () => {
    const token = await grantTo(client, 'dead', 'ada')
    await standAll(client, 'dead', 'bob', 'carol', 'dave', 'eve')
    for (const dead of ['bob', 'carol', 'eve']) await voidPlace(client, 'dead', dead)
    await release(client, 'dead', token)
    expect(await holderOf(client, 'dead')).toBe('dave')
    // Whoever is behind the new holder has not been looked at.
    expect(await placesOf(client, 'dead')).toEqual(['eve'])
    expect(await refresh(client, ['dead', 'bob'])).toMatchObject([{ granted: false, rank: null }])
  })

  test('vacates the lease where only the dead are in line', async () => {
    const token = await grantTo(client, 'all dead', 'ada')
    await standAll(client, 'all dead', 'bob', 'carol')
    for (const dead of ['bob', 'carol']) await voidPlace(client, 'all dead', dead)
    expect(await release(client, 'all dead', token)).toBe(true)
    expect(await stored(client, 'all dead')).toMatchObject({ holder: null, token })
    expect(await placesOf(client, 'all dead')).toEqual([])
  })

  test('with a token of the past leaves lease and line alone', async () => {
    const token = await grantTo(client, 'stale', 'ada')
    await standAll(client, 'stale', 'bob', 'carol')
    expect(await release(client, 'stale', token)).toBe(true)
    const before = await stored(client, 'stale')
    expect(await release(client, 'stale', token)).toBe(false)
    expect(await renew(client, 'stale', token)).toMatchObject({ granted: false, holder: 'bob' })
    expect((await failureOf(guard(client, 'stale', token))).code).toBe('LE001')
    expect(await stored(client, 'stale')).toEqual(before)
    expect(await lineOf(client, 'stale')).toEqual(['carol'])
  })

  test('after the expiry leaves it to the line to take the lease', async () => {
    const token = await grantTo(client, 'expired', 'ada')
    await standAll(client, 'expired', 'bob')
    await endTerm(client, 'expired')
    expect(await release(client, 'expired', token)).toBe(false)
    expect(await lineOf(client, 'expired')).toEqual(['bob'])
    expect(await stand(client, 'expired', 'bob')).toMatchObject({ granted: true, rank: null })
  })
})

describe('a candidate that was handed the lease', () => {
  test('and is dead keeps the next one waiting for the accept time only', async () => {
    const token = await grantTo(client, 'not taken up', 'ada')
    await standAll(client, 'not taken up', 'bob', 'carol')
    await release(client, 'not taken up', token)
    const handed = await stored(client, 'not taken up')
    expect(await stand(client, 'not taken up', 'carol')).toMatchObject({
      granted: false,
      holder: 'bob',
      rank: 0,
    })
    expect(handed.given).toBe('00:00:02')
    await endTerm(client, 'not taken up')
    const grant = await stand(client, 'not taken up', 'carol')
    expect(grant).toMatchObject({ granted: true, holder: 'carol', expiresInMs: 3_600_000 })
    expect(grant.token).toBeGreaterThan(handed.token)
  })

  test('takes it up by asking again, too, under the same token', async () => {
    const token = await grantTo(client, 'asked', 'ada')
    await standAll(client, 'asked', 'bob')
    await release(client, 'asked', token)
    const handed = await stored(client, 'asked')
    expect(await stand(other, 'asked', 'bob')).toMatchObject({
      granted: true,
      token: handed.token,
      expiresInMs: 3_600_000,
      rank: null,
    })
    expect(await placesOf(client, 'asked')).toEqual([])
  })

  test('is guarded by its new token', async () => {
    const token = await grantTo(client, 'guarded', 'ada')
    await standAll(client, 'guarded', 'bob')
    await release(client, 'guarded', token)
    const handed = await stored(client, 'guarded')
    await inTransaction(client, () => guard(client, 'guarded', handed.token))
    expect((await failureOf(guard(client, 'guarded', token))).code).toBe('LE001')
  })
})

test('a hand-off is as durable as any other grant', async () => {
  const token = await grantTo(client, 'durable', 'ada')
  await standAll(client, 'durable', 'bob')
  await inTransaction(client, async () => {
    await client.query('SET LOCAL synchronous_commit = off')
    await release(client, 'durable', token)
    expect(await scalar(client, "SELECT current_setting('synchronous_commit')")).toBe('on')
  })
})

test('a release within a guarded transaction hands the lease over at its commit', async () => {
  const token = await grantTo(client, 'within', 'ada')
  await standAll(client, 'within', 'bob')
  await client.query('BEGIN')
  await guard(client, 'within', token)
  expect(await release(client, 'within', token)).toBe(true)
  expect(await holderOf(other, 'within')).toBe('ada')
  await client.query('COMMIT')
  expect(await holderOf(other, 'within')).toBe('bob')
})
