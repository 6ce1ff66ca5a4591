import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { inTransaction, release, rowsOf, scalar, useDatabase } from './leases.ts'
import { expire, handedTo, lineOf, type Share, share, sharersOf, shareTo, standTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

const writing = { exclusive: true }

/** Gives back what the holder was granted, maybe while it waited. */
async function releaseOf(name: string, holder: string): Promise<boolean> {
  const { lease, token } = (await handedTo(client, name, holder)) as unknown as Share
  return release(client, lease, token)
}

/** Lets a place in line run out, without waiting for that. */
async function abandon(name: string, candidate: string): Promise<void> {
  const text = `UPDATE elect.candidates SET expires_at = clock_timestamp() - interval '1 hour'
    WHERE lease = $1 AND candidate = $2`
  await client.query(text, [name, candidate])
}

test('readers behind a writer that gives up waiting come in as it leaves', async () => {
  const name = 'gives up'
  await shareTo(client, name, 'reader 1')
  await standTo(client, name, 'writer', writing)
  await standTo(client, name, 'reader 2')
  await standTo(client, name, 'reader 3')
  await standTo(client, name, 'writer 2', writing)
  await client.query('SELECT elect.leave_queue($1, $2)', [name, 'writer'])
  expect(await sharersOf(client, name)).toEqual(['reader 1', 'reader 2', 'reader 3'])
  expect(await lineOf(client, name)).toEqual(['writer 2'])
})

describe('writers do not starve', () => {
  test('a reader that comes after a waiting writer waits behind it', async () => {
    await shareTo(client, 'behind', 'reader 1')
    expect(await standTo(client, 'behind', 'writer', writing)).toBe(0)
    expect(await standTo(client, 'behind', 'reader 2')).toBe(1)
    expect(await sharersOf(client, 'behind')).toEqual(['reader 1'])
  })

  test('nor does one that only tries pass the writer', async () => {
    await shareTo(client, 'tries', 'reader 1')
    await standTo(client, 'tries', 'writer', writing)
    expect(await share(client, 'tries', 'reader 2')).toMatchObject({ granted: false, rank: null })
    expect(await lineOf(client, 'tries')).toEqual(['writer'])
  })

  test('the writer is granted when the last reader goes, and two readers behind it together', async () => {
    const name = 'turns'
    await shareTo(client, name, 'reader 1')
    await shareTo(client, name, 'reader 2')
    await standTo(client, name, 'writer', writing)
    await standTo(client, name, 'reader 3')
    await standTo(client, name, 'reader 4')
    await standTo(client, name, 'writer 2', writing)
    await standTo(client, name, 'reader 5')
    await releaseOf(name, 'reader 1')
    expect(await sharersOf(client, name)).toEqual(['reader 2'])
    await releaseOf(name, 'reader 2')
    expect(await sharersOf(client, name)).toEqual(['writer'])
    await releaseOf(name, 'writer')
    expect(await sharersOf(client, name)).toEqual(['reader 3', 'reader 4'])
    expect(await lineOf(client, name)).toEqual(['writer 2', 'reader 5'])
    await releaseOf(name, 'reader 4')
    await releaseOf(name, 'reader 3')
    expect(await sharersOf(client, name)).toEqual(['writer 2'])
    await releaseOf(name, 'writer 2')
    expect(await sharersOf(client, name)).toEqual(['reader 5'])
    expect(await lineOf(client, name)).toEqual([])
  })
})

describe('a release', () => {
  test('hands the room on in the same transaction', async () => {
    const { lease, token } = await shareTo(client, 'at once', 'ada', writing)
    await standTo(other, 'at once', 'bob', writing)
    await inTransaction(client, async () => {
      await release(client, lease, token)
      expect(await sharersOf(client, 'at once')).toEqual(['bob'])
      expect(await sharersOf(other, 'at once')).toEqual(['ada'])
    })
    expect(await sharersOf(other, 'at once')).toEqual(['ada'])
    expect(await lineOf(other, 'at once')).toEqual(['bob'])
  })

  test('goes by priority, then arrival', async () => {
    const name = 'priority'
    await shareTo(client, name, 'holder', writing)
    const wishes = [
      ['low', -1],
      ['first', 0],
      ['second', 0],
      ['high', 5],
    ] as const
    for (const [holder, priority] of wishes) await standTo(client, name, holder, { ...writing, priority })
    expect(await lineOf(client, name)).toEqual(['high', 'first', 'second', 'low'])
    const order: string[] = []
    for (let holder = 'holder'; holder !== ''; ) {
      await releaseOf(name, holder)
      holder = (await sharersOf(client, name))[0] ?? ''
      order.push(holder)
    }
    expect(order).toEqual(['high', 'first', 'second', 'low', ''])
  })

  test('passes over places that have run out', async () => {
    const { lease, token } = await shareTo(client, 'gone', 'ada', writing)
    await standTo(client, 'gone', 'dead', writing)
    await standTo(client, 'gone', 'bob')
    await abandon('gone', 'dead')
    await release(client, lease, token)
    expect(await sharersOf(client, 'gone')).toEqual(['bob'])
  })

  test('of one of many permits lets one in', async () => {
    const [ada] = [
      await shareTo(client, 'permits', 'ada', { capacity: 2 }),
      await shareTo(client, 'permits', 'bob'),
    ]
    for (const holder of ['eve', 'joe']) await standTo(client, 'permits', holder)
    await release(client, ada.lease, ada.token)
    expect(await sharersOf(client, 'permits')).toEqual(['bob', 'eve'])
    expect(await lineOf(client, 'permits')).toEqual(['joe'])
  })

  test('what is handed lasts for the accept time, until it is taken up', async () => {
    const { lease, token } = await shareTo(client, 'accepted', 'ada', writing)
    await standTo(client, 'accepted', 'bob', { ...writing, metadata: { at: 'b' } })
    await release(client, lease, token)
    const given = `SELECT (l.expires_at - l.acquired_at)::text AS given, l.metadata, s.is_exclusive
      FROM elect.get_shares('accepted') s JOIN elect.current_leases l ON l.name = s.lease`
    expect(await rowsOf(client, given)).toEqual([
      { given: '00:00:02', metadata: { at: 'b' }, is_exclusive: true },
    ])
    const handed = await handedTo(client, 'accepted', 'bob')
    expect(handed).toMatchObject({ granted: true, holder: 'bob', rank: null })
    const taken = await share(client, 'accepted', 'bob', { ...writing, ttl: '1 hour' })
    expect(taken).toMatchObject({ granted: true, lease: handed.lease, token: handed.token })
    expect(taken.expiresInMs).toBe(3_600_000)
  })
})

describe('a place in line', () => {
  test('is kept by asking again, and refreshed with many others', async () => {
    await shareTo(client, 'kept place', 'ada', writing)
    await standTo(client, 'kept place', 'bob')
    await standTo(client, 'kept place', 'eve')
    expect(await standTo(client, 'kept place', 'bob')).toBe(0)
    const text = `SELECT holder, rank, granted FROM elect.refresh_candidates(
      ARRAY['kept place', 'kept place', 'kept place'], ARRAY['bob', 'eve', 'ada'])`
    expect(await rowsOf(client, text)).toEqual([
      { holder: 'ada', rank: 0, granted: false },
      { holder: 'ada', rank: 1, granted: false },
      { holder: 'ada', rank: null, granted: true },
    ])
  })

  test('goes to the end when something else is wanted', async () => {
    await shareTo(client, 'changed', 'ada', writing)
    await standTo(client, 'changed', 'bob')
    await standTo(client, 'changed', 'eve')
    expect(await standTo(client, 'changed', 'bob', writing)).toBe(1)
  })

  test('given up tells of a share that was handed over before', async () => {
    const { lease, token } = await shareTo(client, 'too late', 'ada', writing)
    await standTo(client, 'too late', 'bob')
    await standTo(client, 'too late', 'eve')
    const leave = (holder: string) =>
      scalar(client, "SELECT granted FROM elect.leave_queue('too late', $1)", [holder])
    expect(await leave('eve')).toBe(false)
    await release(client, lease, token)
    expect(await leave('bob')).toBe(true)
    expect(await sharersOf(client, 'too late')).toEqual(['bob'])
  })

  test('a share that ran out goes to the first in line, who brings in those that fit beside it', async () => {
    const { lease } = await shareTo(client, 'ran out', 'ada', writing)
    for (const holder of ['bob', 'eve']) await standTo(client, 'ran out', holder)
    await expire(client, lease)
    expect(await standTo(client, 'ran out', 'joe')).toBe(2)
    expect((await share(client, 'ran out', 'bob')).granted).toBe(true)
    expect(await sharersOf(client, 'ran out')).toEqual(['bob', 'eve', 'joe'])
  })

  test('one of a higher priority passes a writer that waits, if there is room for it', async () => {
    await shareTo(client, 'urgent', 'ada')
    await standTo(client, 'urgent', 'writer', writing)
    expect((await share(client, 'urgent', 'bob', { priority: 1 })).granted).toBe(true)
    expect((await share(client, 'urgent', 'eve', { priority: 0 })).granted).toBe(false)
  })
})

test('sessions that come and go leave nobody waiting beside room', async () => {
  const name = 'crowd'
  const sessions = await Promise.all(Array.from({ length: 8 }, () => database.connect()))
  await Promise.all(
    sessions.map(async (session, number) => {
      for (let round = 0; round < 25; round += 1) {
        const holder = `${number}/${round}`
        let seen = await share(session, name, holder, {
          exclusive: (number + round) % 3 === 0,
          capacity: 3,
          ttl: '1 hour',
          wait: true,
        })
        // Whoever waits gives up here: half of them find that they were granted it meanwhile.
        if (!seen.granted) {
          await session.query('SELECT elect.leave_queue($1, $2)', [name, holder])
          seen = await handedTo(session, name, holder)
        }
        const kinds = await rowsOf<{ is_exclusive: boolean }>(
          session,
          'SELECT is_exclusive FROM elect.get_shares($1)',
          [name],
        )
        expect(kinds.length).toBeLessThanOrEqual(kinds.some((kind) => kind.is_exclusive) ? 1 : 3)
        if (seen.granted) await release(session, seen.lease as string, seen.token as number)
      }
    }),
  )
  expect(await sharersOf(client, name)).toEqual([])
  expect(await lineOf(client, name)).toEqual([])
})
