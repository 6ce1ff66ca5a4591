import type pg from 'pg'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  grantTo,
  guard,
  inTransaction,
  oneRow,
  release,
  renew,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  transfer,
  useDatabase,
} from './leases.ts'
import { endTerm } from './line.ts'
import { Listener } from './listener.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let listener: Listener

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  const ears = await database.connect()
  await ears.query('LISTEN elect')
  listener = new Listener(ears)
})

beforeEach(async () => {
  await listener.heard()
})

const ask = (name: string) => scalar<boolean>(client, 'SELECT elect.request_step_down($1)', [name])
const isAsked = (name: string) =>
  scalar<boolean>(client, 'SELECT step_down_requested FROM elect.get_lease($1)', [name])

test('a request is to be seen in the lease, and is told', async () => {
  const token = await grantTo(client, 'asked', 'ada')
  expect(await isAsked('asked')).toBe(false)
  const before = await stored(client, 'asked')
  await listener.heard()
  expect(await ask('asked')).toBe(true)
  expect(await isAsked('asked')).toBe(true)
  const view = "SELECT step_down_requested FROM elect.current_leases WHERE name = 'asked'"
  expect(await scalar(client, view)).toBe(true)
  expect((await listener.heard()).get('elect')).toEqual([
    { event: 'step_down', name: 'asked', holder: 'ada', token, previous_holder: 'ada' },
  ])
  // It asks: the lease is held as before.
  expect(await stored(client, 'asked')).toEqual({ ...before, version: before.version + 1 })
})

test('it stays through renewals and guards, until the lease is given back', async () => {
  const token = await grantTo(client, 'stays', 'ada')
  await ask('stays')
  await renew(client, 'stays', token)
  await inTransaction(client, () => guard(client, 'stays', token))
  expect(await isAsked('stays')).toBe(true)
  expect(await ask('stays')).toBe(true)
  expect(await release(client, 'stays', token)).toBe(true)
  await grantTo(client, 'stays', 'ada')
  expect(await isAsked('stays')).toBe(false)
})

test('it is for one term: the next holder is not asked', async () => {
  const token = await grantTo(client, 'term', 'ada')
  await ask('term')
  await transfer(client, 'term', token, 'bob')
  expect(await isAsked('term')).toBe(false)
})

test('nobody is asked where nobody leads', async () => {
  expect(await ask('never was')).toBe(false)
  await grantTo(client, 'expired', 'ada')
  await endTerm(client, 'expired')
  await release(client, 'released', await grantTo(client, 'released', 'ada'))
  await listener.heard()
  for (const name of ['expired', 'released']) {
    const before = await stored(client, name)
    expect(await ask(name)).toBe(false)
    expect(await stored(client, name)).toEqual(before)
  }
  expect((await listener.heard()).size).toBe(0)
})

test('a guarded transaction is not waited for', async () => {
  const token = await grantTo(client, 'guarded', 'ada')
  await inTransaction(other, async () => {
    await guard(other, 'guarded', token)
    expect(await ask('guarded')).toBe(true)
  })
})

test('whoever is at the row is waited for, for a second', async () => {
  await grantTo(client, 'busy', 'ada')
  await inTransaction(other, async () => {
    await other.query("SELECT FROM elect.leases WHERE name = 'busy' FOR UPDATE")
    const observer = await database.connect()
    const pid = await backendPid(client)
    const state = sqlStateOf(ask('busy'))
    await whenBlocked(observer, pid)
    expect(await state).toBe('55P03')
  })
  expect(await isAsked('busy')).toBe(false)
  expect(await rowsOf(client, 'SHOW lock_timeout')).toEqual([{ lock_timeout: '0' }])
})

test('a request that is rolled back was none', async () => {
  await grantTo(client, 'undone', 'ada')
  await inTransaction(client, () => ask('undone'))
  expect(await isAsked('undone')).toBe(false)
  expect(await oneRow(client, "SELECT holder FROM elect.get_lease('undone')")).toEqual({ holder: 'ada' })
})
