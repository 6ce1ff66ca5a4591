import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  inTransaction,
  release,
  renew,
  rowsOf,
  scalar,
  swap,
  transfer,
  useDatabase,
} from './leases.ts'
import { standAll } from './line.ts'
import { acquireIn, endSession, keepIn, openSession, releaseIn, renewIn, renewSession } from './sessions.ts'
import { shareTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

const force = (name: string) => scalar(other, `SELECT elect.force_release($1, 'a test')`, [name])

async function takeOver(name: string): Promise<unknown> {
  await standAll(other, name, 'bob')
  const bound = await database.connect()
  await bound.query('SELECT elect.bind_lease($1, (SELECT token FROM elect.leases WHERE name = $1))', [name])
  await bound.end()
  const granted = await scalar(other, `SELECT granted FROM elect.take_over($1, 'bob')`, [name])
  await other.query('SELECT pg_advisory_unlock_all()')
  return granted
}

type Taking = (name: string, token: number) => Promise<unknown>
const takings: [string, Taking][] = [
  ['force_release', force],
  ['take_over', takeOver],
  ['compare_and_swap', (name) => swap(other, name, 'bob', 'ada')],
  ['compare_and_swap to empty', (name) => swap(other, name, null, 'ada')],
  ['compare_and_swap to the same', (name) => swap(other, name, 'ada', 'ada')],
  ['transfer_lease', async (name, token) => (await transfer(other, name, token, 'bob')).granted],
  ['release_lease without the session', (name, token) => release(other, name, token)],
  [
    'release_lease to the first in line',
    async (name, token) => {
      await standAll(other, name, 'bob')
      return release(other, name, token)
    },
  ],
  [
    'release_leases without the session',
    (name, token) =>
      scalar(other, 'SELECT released FROM elect.release_leases(ARRAY[$1], ARRAY[$2::bigint])', [name, token]),
  ],
  ['renew_lease without the session', async (name, token) => (await renew(other, name, token)).granted],
  [
    'renew_leases without the session',
    (name, token) =>
      scalar(other, 'SELECT granted FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint])', [name, token]),
  ],
  ['acquire_lease without the session', async (name) => (await acquire(other, name, 'ada')).granted],
  [
    'acquire_queued',
    async (name) => {
      const granted = await scalar(other, `SELECT granted FROM elect.acquire_queued($1, 'ada')`, [name])
      await other.query('SELECT pg_advisory_unlock_all()')
      return granted
    },
  ],
  [
    'another session',
    async (name, token) => (await renewIn(other, await openSession(other, 'ada'), name, token)).granted,
  ],
]

describe('what is taken from a session', () => {
  test.each(takings)('by %s is told by its renewals, and nothing else is', async (way, take) => {
    const name = `taken by ${way}`
    const session = await openSession(client, 'ada')
    await keepIn(client, session, `${name}, not this`, 'ada')
    const token = await keepIn(client, session, name, 'ada')
    expect(await take(name, token)).toBe(true)
    for (const lost of [[[name, token]], [[name, token]]]) {
      expect(await renewSession(client, session)).toMatchObject({ granted: true, lost })
    }
  })

  test('is told in the order of the names, each term by itself', async () => {
    const session = await openSession(client, 'ada')
    const lost: [string, number][] = []
    for (const name of ['b', 'a', 'a']) {
      lost.push([name, await keepIn(client, session, name, 'ada')])
      await force(name)
    }
    lost.sort(([a, left], [b, right]) => a.localeCompare(b) || left - right)
    expect((await renewSession(client, session)).lost).toEqual(lost)
  })

  test('and was then granted to it again is told with its old token only', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'again', 'ada')
    await force('again')
    expect(await keepIn(client, session, 'again', 'ada')).toBeGreaterThan(token)
    expect((await renewSession(client, session)).lost).toEqual([['again', token]])
  })

  test('and comes back under the same token is no loss any more', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'back', 'ada')
    await renew(client, 'back', token)
    expect((await renewSession(client, session)).lost).toEqual([['back', token]])
    await renewIn(client, session, 'back', token)
    expect((await renewSession(client, session)).lost).toEqual([])
    await acquire(client, 'back', 'ada')
    await acquireIn(client, session, 'back', 'ada')
    expect((await renewSession(client, session)).lost).toEqual([])
    await renew(client, 'back', token)
    const text = `SELECT granted FROM elect.renew_leases('{back}', ARRAY[$1::bigint], session => $2)`
    expect(await scalar(client, text, [token, session])).toBe(true)
    expect((await renewSession(client, session)).lost).toEqual([])
  })

  test('in a transaction is told once that is committed, and not if it is rolled back', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'undone', 'ada')
    await inTransaction(other, async () => {
      await force('undone')
      expect((await renewSession(client, session)).lost).toEqual([])
    })
    expect((await renewSession(client, session)).lost).toEqual([])
    await other.query('BEGIN')
    await force('undone')
    await other.query('COMMIT')
    expect((await renewSession(client, session)).lost).toEqual([['undone', token]])
  })

  test('is told also of a share that another releases, and not of one that it gives back', async () => {
    const session = await openSession(client, 'ada')
    const shares = [await shareTo(client, 'shared', 'ada'), await shareTo(client, 'shared', 'ada 2')]
    for (const { lease, token } of shares) await renewIn(client, session, lease, token)
    const [theirs, own] = shares
    if (theirs === undefined || own === undefined) throw new Error('no shares')
    expect(await releaseIn(client, session, own.lease, own.token)).toBe(true)
    expect((await renewSession(client, session)).lost).toEqual([])
    expect(await release(other, theirs.lease, theirs.token)).toBe(true)
    expect((await renewSession(client, session)).lost).toEqual([[theirs.lease, theirs.token]])
  })

  test('goes with the session', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'goes', 'ada')
    await force('goes')
    await endSession(client, session)
    expect(await rowsOf(client, 'SELECT FROM elect.session_losses WHERE session = $1', [session])).toEqual([])
  })

  test('when the session has gone already, is pruned with the rest', async () => {
    const session = await openSession(client, 'ada')
    await client.query(
      `INSERT INTO elect.session_losses VALUES ($1, 'left', 1), (gen_random_uuid(), 'orphan', 1)`,
      [session],
    )
    await client.query(`SELECT elect.prune_leases('1 hour')`)
    expect(
      await rowsOf(client, `SELECT name FROM elect.session_losses WHERE name IN ('left', 'orphan')`),
    ).toEqual([{ name: 'left' }])
  })
})
