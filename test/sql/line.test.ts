import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  holderOf,
  inTransaction,
  nobodyKnown,
  release,
  rowsOf,
  scalar,
  stored,
  useDatabase,
} from './leases.ts'
import { candidacy, endTerm, leave, lineOf, placesOf, stand, standAll, voidPlace } from './line.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

describe('the order of a line', () => {
  test('is by priority, then arrival', async () => {
    const token = await grantTo(client, 'order', 'ada')
    const ranks: (number | null)[] = []
    for (const [holder, priority] of [
      ['bob', 0],
      ['carol', 5],
      ['dave', 5],
      ['eve', -1],
      ['fay', 0],
    ] as const) {
      const answer = await stand(client, 'order', holder, { priority })
      expect(answer).toMatchObject({ granted: false, holder: 'ada', token })
      ranks.push(answer.rank)
    }
    expect(ranks).toEqual([0, 0, 1, 3, 3])
    const line = ['carol', 'dave', 'bob', 'fay', 'eve']
    expect(await lineOf(client, 'order')).toEqual(line)
    for (const [rank, holder] of line.entries()) {
      expect(await candidacy(client, 'order', holder)).toMatchObject({
        lease: 'order',
        granted: false,
        holder: 'ada',
        token,
        rank,
      })
    }
  })

  test('is kept by one who asks again, with what it wants now', async () => {
    await grantTo(client, 'again', 'ada')
    await standAll(client, 'again', 'bob', 'carol')
    expect(await stand(other, 'again', 'bob', { ttl: '2 hours', metadata: 'new' })).toMatchObject({ rank: 0 })
    const [place] = await rowsOf(client, "SELECT * FROM elect.get_candidates('again')")
    expect(place).toMatchObject({
      rank: 0,
      candidate: 'bob',
      priority: 0,
      is_exclusive: true,
      metadata: 'new',
      expires_in: { hours: 1, minutes: 59 },
    })
    // Another priority is another place among the others, and its arrival counts there, too.
    expect(await stand(client, 'again', 'bob', { priority: -1 })).toMatchObject({ rank: 1 })
    expect(await stand(client, 'again', 'bob')).toMatchObject({ rank: 0 })
  })

  test('is lost by one whose place has run out', async () => {
    await grantTo(client, 'away', 'ada')
    await standAll(client, 'away', 'bob', 'carol')
    await voidPlace(client, 'away', 'bob')
    expect(await lineOf(client, 'away')).toEqual(['carol'])
    expect(await candidacy(client, 'away', 'bob')).toMatchObject({ granted: false, rank: null })
    expect(await candidacy(client, 'away', 'carol')).toMatchObject({ rank: 0 })
    expect(await stand(client, 'away', 'bob')).toMatchObject({ granted: false, rank: 1 })
    expect(await lineOf(client, 'away')).toEqual(['carol', 'bob'])
  })
})

describe('a place', () => {
  test('is not given to one that does not want to wait, and not taken from it either', async () => {
    await grantTo(client, 'impatient', 'ada')
    expect(await stand(client, 'impatient', 'bob', { wait: false })).toMatchObject({
      granted: false,
      holder: 'ada',
      rank: null,
    })
    expect(await placesOf(client, 'impatient')).toEqual([])
    await standAll(client, 'impatient', 'bob')
    expect(await stand(client, 'impatient', 'bob', { wait: false })).toMatchObject({ rank: null })
    expect(await lineOf(client, 'impatient')).toEqual(['bob'])
  })

  test('is not given to the holder, which has the lease extended', async () => {
    await grantTo(client, 'holder', 'ada')
    expect(await stand(client, 'holder', 'ada')).toMatchObject({ granted: true, rank: null })
    expect(await placesOf(client, 'holder')).toEqual([])
  })

  test('is not needed where the lease is vacant', async () => {
    expect(await stand(client, 'vacant', 'bob')).toMatchObject({ granted: true, holder: 'bob', rank: null })
    expect(await placesOf(client, 'vacant')).toEqual([])
  })

  test('ends with the grant', async () => {
    await grantTo(client, 'granted', 'ada')
    await standAll(client, 'granted', 'bob', 'carol')
    await endTerm(client, 'granted')
    expect(await acquire(client, 'granted', 'bob')).toMatchObject({ granted: true })
    expect(await placesOf(client, 'granted')).toEqual(['carol'])
  })

  test('ends with a grant by a swap, too: the next release is not for the one that has it', async () => {
    await client.query("SELECT elect.compare_and_swap('swapped', next => 'ada', current => NULL)")
    await standAll(client, 'swapped', 'bob', 'carol')
    await client.query("SELECT elect.compare_and_swap('swapped', next => 'bob', current => 'ada')")
    expect(await placesOf(client, 'swapped')).toEqual(['carol'])
  })

  test('is undone by a rollback', async () => {
    await grantTo(client, 'undone', 'ada')
    await inTransaction(other, () => stand(other, 'undone', 'bob'))
    expect(await placesOf(client, 'undone')).toEqual([])
  })

  test('belongs to one lease only', async () => {
    await grantTo(client, 'this', 'ada')
    const token = await grantTo(client, 'that', 'ada')
    await standAll(client, 'this', 'bob')
    await release(client, 'that', token)
    expect(await holderOf(client, 'that')).toBeUndefined()
    expect(await lineOf(client, 'this')).toEqual(['bob'])
  })
})

describe('leave_queue', () => {
  test('gives up the place, and those behind it move up', async () => {
    const token = await grantTo(client, 'left', 'ada')
    await standAll(client, 'left', 'bob', 'carol')
    expect(await leave(other, 'left', 'bob')).toMatchObject({
      lease: 'left',
      granted: false,
      holder: 'ada',
      token,
      rank: null,
    })
    expect(await placesOf(client, 'left')).toEqual(['carol'])
    expect(await candidacy(client, 'left', 'carol')).toMatchObject({ rank: 0 })
  })

  test('of one that has been handed the lease tells its token', async () => {
    const token = await grantTo(client, 'too late', 'ada')
    await standAll(client, 'too late', 'bob')
    await release(client, 'too late', token)
    const answer = await leave(client, 'too late', 'bob')
    expect(answer).toMatchObject({ lease: 'too late', granted: true, holder: 'bob' })
    expect(await release(client, 'too late', Number(answer.token))).toBe(true)
  })

  test('without a place changes nothing', async () => {
    const nothing = { ...nobodyKnown, lease: null, rank: null }
    expect(await leave(client, 'never was', 'bob')).toEqual(nothing)
    await grantTo(client, 'no place', 'ada')
    const before = await stored(client, 'no place')
    expect(await leave(client, 'no place', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    expect(await stored(client, 'no place')).toEqual(before)
  })
})

describe('priority null asks only', () => {
  const writtenNothing = () => scalar(client, 'SELECT pg_current_xact_id_if_assigned() IS NULL')

  test.each([true, false])('of others, with wait %s, and writes and locks nothing', async (wait) => {
    const name = `asked ${wait}`
    await grantTo(client, `${name}, held`, 'ada')
    await release(client, `${name}, vacant`, await grantTo(client, `${name}, vacant`, 'ada'))
    await inTransaction(client, async () => {
      const wish = { wait, priority: null }
      expect(await stand(client, `${name}, held`, 'bob', wish)).toMatchObject({ holder: 'ada', rank: null })
      expect(await stand(client, `${name}, vacant`, 'bob', wish)).toEqual({ ...nobodyKnown, rank: null })
      expect(await stand(client, `${name}, new`, 'bob', wish)).toEqual({ ...nobodyKnown, rank: null })
      expect(await writtenNothing()).toBe(true)
    })
    expect(await placesOf(client, `${name}, held`)).toEqual([])
  })

  test('of its own lease, which it does not extend', async () => {
    await grantTo(client, 'own', 'ada')
    const before = await stored(client, 'own')
    expect(await stand(client, 'own', 'ada', { priority: null })).toMatchObject({
      granted: false,
      holder: 'ada',
    })
    expect(await stored(client, 'own')).toEqual(before)
  })
})

describe('prune_leases', () => {
  test('removes places that have run out, and no others', async () => {
    await grantTo(client, 'pruned', 'ada')
    await standAll(client, 'pruned', 'dead', 'busy', 'live')
    await voidPlace(client, 'pruned', 'dead')
    await voidPlace(client, 'pruned', 'busy')
    await inTransaction(other, async () => {
      await other.query("SELECT FROM elect.candidates WHERE candidate = 'busy' FOR UPDATE")
      expect(await scalar(client, "SELECT elect.prune_leases('1 hour')::int")).toBe(0)
    })
    expect(await placesOf(client, 'pruned')).toEqual(['busy', 'live'])
  })

  test('leaves a vacant lease that somebody waits for: its turn is counted from when it became so', async () => {
    await grantTo(client, 'waited for', 'ada')
    await standAll(client, 'waited for', 'bob')
    await client.query("SELECT elect.force_release('waited for', 'a test')")
    await client.query("SELECT elect.prune_leases('0')")
    expect(await scalar(client, "SELECT count(*)::int FROM elect.leases WHERE name = 'waited for'")).toBe(1)
  })
})
