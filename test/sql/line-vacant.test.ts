import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { acquire, grantTo, nobodyKnown, release, scalar, stored, useDatabase } from './leases.ts'
import { candidacy, crowd, crowdSize, endTerm, lineOf, refresh, stand, standAll, voidPlace } from './line.ts'

// Time is moved, by the owner of the tables, rather than waited for.

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

/** Ways in which a lease ends while others wait for it: that long ago, and nobody has taken it since. */
const endings: Record<string, (name: string, ago: string) => Promise<void>> = {
  'has expired': (name, ago) => endTerm(client, name, ago),
  'was vacated': async (name, ago) => {
    await client.query("SELECT elect.force_release($1, 'a test')", [name])
    await endTerm(client, name, ago)
  },
}

describe.each(Object.entries(endings))('while others wait for a lease that %s', (ending, end) => {
  test('the first in line takes it at once', async () => {
    const name = `first, ${ending}`
    const token = await grantTo(client, name, 'ada')
    await standAll(client, name, 'bob', 'carol')
    await end(name, '0 seconds')
    expect(await candidacy(client, name, 'bob')).toMatchObject({ granted: false, holder: null, rank: 0 })
    const grant = await acquire(client, name, 'bob')
    expect(grant).toMatchObject({ granted: true, holder: 'bob' })
    expect(grant.token).toBeGreaterThan(token)
    expect(await lineOf(client, name)).toEqual(['carol'])
  })

  test.each([false, true])('nobody else barges in, with wait %s', async (wait) => {
    const name = `barging ${wait}, ${ending}`
    await grantTo(client, name, 'ada')
    await standAll(client, name, 'bob')
    await crowd(client, name)
    await end(name, '50 seconds')
    const before = await stored(client, name)
    // Neither a newcomer nor one that waits further back.
    expect(await stand(client, name, 'eve', { wait })).toEqual({
      ...nobodyKnown,
      rank: wait ? crowdSize + 1 : null,
    })
    expect(await acquire(client, name, `one of many ${crowdSize}`)).toEqual(nobodyKnown)
    expect(await stored(client, name)).toEqual(before)
    expect(await acquire(client, name, 'bob')).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('others may take it when those before them have had their time', async () => {
    const name = `late, ${ending}`
    await grantTo(client, name, 'ada')
    await crowd(client, name)
    await end(name, '1 hour')
    expect(await acquire(client, name, 'eve')).toMatchObject({ granted: true, holder: 'eve' })
    expect(await lineOf(client, name)).toHaveLength(crowdSize)
  })

  test('a newcomer of a higher priority goes first', async () => {
    const name = `urgent, ${ending}`
    await grantTo(client, name, 'ada')
    await crowd(client, name)
    await end(name, '0 seconds')
    expect(await stand(client, name, 'eve', { priority: 1 })).toMatchObject({ granted: true, holder: 'eve' })
  })

  test('one whose own place has run out comes after those who still wait', async () => {
    const name = `lapsed, ${ending}`
    await grantTo(client, name, 'ada')
    await standAll(client, name, 'bob')
    await crowd(client, name)
    await voidPlace(client, name, 'bob')
    await end(name, '50 seconds')
    expect(await acquire(client, name, 'bob')).toEqual(nobodyKnown)
    expect(await acquire(client, name, 'one of many 1')).toMatchObject({ granted: true })
  })

  test('those whose places have run out are not waited for', async () => {
    const name = `dead, ${ending}`
    await grantTo(client, name, 'ada')
    await crowd(client, name)
    await client.query('UPDATE elect.candidates SET expires_at = clock_timestamp() WHERE lease = $1', [name])
    await end(name, '0 seconds')
    expect(await acquire(client, name, 'eve')).toMatchObject({ granted: true, holder: 'eve' })
  })
})

test('each has 250 milliseconds more than the one before it, to the microsecond', async () => {
  await grantTo(client, 'turn', 'ada')
  const text = `SELECT ARRAY[
      elect.is_turn(l, 0, l.expires_at),
      elect.is_turn(l, 1, l.expires_at), elect.is_turn(l, 1, l.expires_at + '250 ms'), elect.is_turn(l, 1, l.expires_at + '250.001 ms'),
      elect.is_turn(l, 4, l.expires_at + '1 s'), elect.is_turn(l, 4, l.expires_at + '1000.001 ms')]
    FROM elect.leases l WHERE name = 'turn'`
  expect(await scalar(client, text)).toEqual([true, false, false, true, false, true])
})

// A moment in the future is what the tables look like after the clock of the server has gone back.
describe('after the clock has gone back', () => {
  const anHourAhead = `UPDATE elect.candidates
    SET seen_at = seen_at + interval '1 hour', expires_at = expires_at + interval '1 hour' WHERE lease = $1`

  test('a place from the future keeps nobody out', async () => {
    await grantTo(client, 'future places', 'ada')
    await crowd(client, 'future places')
    await client.query(anHourAhead, ['future places'])
    expect(await lineOf(client, 'future places')).toEqual([])
    await endTerm(client, 'future places')
    expect(await acquire(client, 'future places', 'eve')).toMatchObject({ granted: true })
  })

  test('a candidate that still waits says so anew, and has its place again until its ttl from now', async () => {
    await grantTo(client, 'future place', 'ada')
    await standAll(client, 'future place', 'bob', 'carol')
    await client.query(anHourAhead, ['future place'])
    expect(await candidacy(client, 'future place', 'bob')).toMatchObject({ rank: null })
    expect(await refresh(client, ['future place', 'bob'])).toMatchObject([{ rank: 0 }])
    expect(await lineOf(client, 'future place')).toEqual(['bob'])
    expect(await stand(client, 'future place', 'carol')).toMatchObject({ rank: 1 })
    const bound = `SELECT bool_and(seen_at <= clock_timestamp() AND expires_at <= clock_timestamp() + ttl)
      FROM elect.candidates WHERE lease = 'future place'`
    expect(await scalar(client, bound)).toBe(true)
  })

  test('it is not handed the lease', async () => {
    const token = await grantTo(client, 'not handed', 'ada')
    await standAll(client, 'not handed', 'bob')
    await client.query(anHourAhead, ['not handed'])
    await standAll(client, 'not handed', 'carol')
    await release(client, 'not handed', token)
    expect(await stored(client, 'not handed')).toMatchObject({ holder: 'carol' })
  })

  test('a vacancy that begins in the future keeps nobody out', async () => {
    const token = await grantTo(client, 'future vacancy', 'ada')
    await crowd(client, 'future vacancy')
    await client.query("SELECT elect.force_release('future vacancy', 'a test')")
    await endTerm(client, 'future vacancy', '-1 hour')
    expect(await grantTo(client, 'future vacancy', 'eve')).toBeGreaterThan(token)
  })
})
