import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, type Grant, grantColumns, grantTo, oneRow, stored, useDatabase } from './leases.ts'
import { lineOf, placesOf, stand, standAll, voidPlace } from './line.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

function hand(name: string, token: number, successor: string | null, mustWait = false): Promise<Grant> {
  const text = `SELECT ${grantColumns}
    FROM elect.transfer_lease(name => $1, token => $2, successor => $3, must_wait => $4)`
  return oneRow(client, text, [name, token, successor, mustWait])
}

describe('transfer_lease to whoever is first in line', () => {
  test('hands the lease over as a release does, and is told who has it', async () => {
    const token = await grantTo(client, 'first', 'ada', '2 hours')
    await stand(client, 'first', 'bob')
    await stand(client, 'first', 'carol', { priority: 1, ttl: '30 minutes', metadata: 'of carol' })
    const grant = await hand('first', token, null)
    expect(grant).toMatchObject({
      granted: true,
      holder: 'carol',
      metadata: 'of carol',
      expiresInMs: 2_000,
    })
    expect(grant.token).toBeGreaterThan(token)
    expect(await stored(client, 'first')).toMatchObject({ given: '00:00:02', ttl: '00:30:00' })
    expect(await lineOf(client, 'first')).toEqual(['bob'])
  })

  test('passes over the dead', async () => {
    const token = await grantTo(client, 'dead', 'ada')
    await standAll(client, 'dead', 'bob', 'carol')
    await voidPlace(client, 'dead', 'bob')
    expect(await hand('dead', token, null)).toMatchObject({ granted: true, holder: 'carol' })
    expect(await placesOf(client, 'dead')).toEqual([])
  })

  test('changes nothing where nobody waits, and shows the holder', async () => {
    const token = await grantTo(client, 'nobody', 'ada')
    const before = await stored(client, 'nobody')
    expect(await hand('nobody', token, null)).toMatchObject({ granted: false, holder: 'ada', token })
    expect(await stored(client, 'nobody')).toEqual(before)
  })
})

describe('transfer_lease to one that is named', () => {
  test('takes it out of the line, wherever it stands, and leaves the others', async () => {
    const token = await grantTo(client, 'named', 'ada', '2 hours')
    await standAll(client, 'named', 'bob')
    await stand(client, 'named', 'carol', { ttl: '1 second', metadata: 'of carol' })
    await standAll(client, 'named', 'dave')
    expect(await hand('named', token, 'carol', true)).toMatchObject({
      granted: true,
      holder: 'carol',
      metadata: 'of carol',
      expiresInMs: 1_000,
    })
    expect(await lineOf(client, 'named')).toEqual(['bob', 'dave'])
  })

  test('that does not wait gives it the ttl of the lease, and nobody in line is asked', async () => {
    const token = await grantTo(client, 'elsewhere', 'ada', '2 hours')
    await standAll(client, 'elsewhere', 'bob')
    expect(await hand('elsewhere', token, 'eve')).toMatchObject({
      granted: true,
      holder: 'eve',
      metadata: null,
      expiresInMs: 7_200_000,
    })
    expect(await lineOf(client, 'elsewhere')).toEqual(['bob'])
  })

  test('that does not wait, but must, changes nothing', async () => {
    const token = await grantTo(client, 'must wait', 'ada')
    await standAll(client, 'must wait', 'bob', 'carol')
    await voidPlace(client, 'must wait', 'carol')
    const before = await stored(client, 'must wait')
    for (const successor of ['eve', 'carol']) {
      expect(await hand('must wait', token, successor, true)).toMatchObject({
        granted: false,
        holder: 'ada',
        token,
      })
    }
    expect(await stored(client, 'must wait')).toEqual(before)
    expect(await lineOf(client, 'must wait')).toEqual(['bob'])
  })
})

test.each([null, 'bob', 'eve'])('a token of the past hands nothing to %s', async (successor) => {
  const name = `stale ${successor}`
  const stale = await grantTo(client, name, 'ada')
  const { token } = await hand(name, stale, 'carol')
  await standAll(client, name, 'bob')
  const before = await stored(client, name)
  expect(await hand(name, stale, successor)).toMatchObject({ granted: false, holder: 'carol', token })
  expect(await stored(client, name)).toEqual(before)
  expect(await lineOf(client, name)).toEqual(['bob'])
})

test('a share is refused: its room goes to the line', async () => {
  const share = await oneRow<{ lease: string; token: number }>(
    client,
    "SELECT lease, token::float8 FROM elect.acquire_share('pool', 'ada')",
  )
  const before = await stored(client, share.lease)
  const { code, message, hint } = await failureOf(hand(share.lease, share.token, 'bob'))
  expect({ code, message }).toEqual({
    code: '22023',
    message: `Lease ${share.lease} is a share of pool, which cannot be transferred`,
  })
  expect(hint).toMatch(/Release it/)
  expect(await stored(client, share.lease)).toEqual(before)
})
