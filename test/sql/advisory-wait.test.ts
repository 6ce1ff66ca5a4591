import type pg from 'pg'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { failureOf, grantTo, inTransaction, release, scalar, useDatabase } from './leases.ts'
import { inTime, locksOf } from './line.ts'

const database = useDatabase()
let first: pg.Client
let second: pg.Client
let observer: pg.Client

beforeAll(async () => {
  first = await database.connect()
  second = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  for (const session of [first, second]) {
    await session.query('ROLLBACK')
    await session.query('SELECT pg_advisory_unlock_all()')
  }
})

const lock = (session: pg.Client, name: string, longest = '1 second') =>
  scalar<boolean>(session, 'SELECT elect.advisory_lock($1, $2)', [name, longest])
const unlock = (session: pg.Client, name: string) =>
  scalar<boolean>(session, 'SELECT elect.advisory_unlock($1)', [name])

test('advisory_lock takes what is free, as often as it is asked', async () => {
  expect(await lock(first, 'free')).toBe(true)
  expect(await lock(first, 'free')).toBe(true)
  expect(await unlock(first, 'free')).toBe(true)
  expect(await lock(second, 'free', '1 millisecond')).toBe(false)
  expect(await unlock(first, 'free')).toBe(true)
  expect(await lock(second, 'free')).toBe(true)
})

test('it waits for the one before it', async () => {
  await inTime(async (attempt) => {
    const name = `waits ${attempt}`
    await lock(first, name)
    const pid = await backendPid(second)
    const locked = lock(second, name)
    await whenBlocked(observer, pid)
    await unlock(first, name)
    return (await locked) ? true : undefined
  })
})

test('it gives up in time, and leaves the patience of the session as it was', async () => {
  await lock(first, 'busy')
  await second.query("SET lock_timeout = '1234ms'")
  expect(await lock(second, 'busy', '1 millisecond')).toBe(false)
  expect(await locksOf(second)).toBe(0)
  expect(await scalar(second, 'SHOW lock_timeout')).toBe('1234ms')
  await inTransaction(second, async () => {
    await second.query("SET LOCAL lock_timeout = '4321ms'")
    expect(await lock(second, 'busy', '1 millisecond')).toBe(false)
    expect(await scalar(second, 'SHOW lock_timeout')).toBe('4321ms')
    // Giving up is no error: the transaction goes on.
    expect(await lock(second, 'another')).toBe(true)
  })
})

test('it is refused where a lease of the name is held, and the lock is given back', async () => {
  const token = await grantTo(first, 'held', 'ada')
  expect(await lock(second, 'held')).toBe(false)
  expect(await locksOf(second)).toBe(0)
  await inTransaction(first, async () => {
    // A renewal or release that is not committed counts as held.
    await release(first, 'held', token)
    expect(await lock(second, 'held')).toBe(false)
    expect(await locksOf(second)).toBe(0)
  })
  await release(first, 'held', token)
  expect(await lock(second, 'held')).toBe(true)
})

test.each(['REPEATABLE READ', 'SERIALIZABLE'])('it is refused at %s', async (level) => {
  const begin = `BEGIN ISOLATION LEVEL ${level}`
  await inTransaction(
    first,
    async () => expect((await failureOf(lock(first, 'isolated'))).code).toBe('25000'),
    begin,
  )
  expect(await locksOf(first)).toBe(0)
})
