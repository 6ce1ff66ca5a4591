import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  acquire,
  eventually,
  grantTo,
  nobodyKnown,
  release,
  rowsOf,
  scalar,
  sqlStateOf,
  swap,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let one: pg.Client
let other: pg.Client

beforeAll(async () => {
  one = await database.connect()
  other = await database.connect()
})

beforeEach(async () => {
  for (const session of [one, other]) {
    await session.query('ROLLBACK')
    await session.query('SELECT pg_advisory_unlock_all()')
  }
})

const call = (name: string) => (client: pg.Client, lease: string) =>
  scalar<boolean>(client, `SELECT elect.${name}(name => $1)`, [lease])
const tryLock = call('try_advisory_lock')
const tryXactLock = call('try_advisory_xact_lock')
const unlock = call('advisory_unlock')

/** The advisory locks that the session has. */
async function locksOf(client: pg.Client): Promise<number> {
  const text = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
  return (await rowsOf(client, text)).length
}

describe('try_advisory_lock', () => {
  test('is held by one session until it unlocks', async () => {
    expect(await tryLock(one, 'mutex')).toBe(true)
    expect(await tryLock(other, 'mutex')).toBe(false)
    expect(await unlock(one, 'mutex')).toBe(true)
    expect(await tryLock(other, 'mutex')).toBe(true)
  })

  test('counts how often it was locked', async () => {
    await tryLock(one, 'twice')
    expect(await tryLock(one, 'twice')).toBe(true)
    await unlock(one, 'twice')
    expect(await tryLock(other, 'twice')).toBe(false)
    await unlock(one, 'twice')
    expect(await tryLock(other, 'twice')).toBe(true)
  })

  test('leaves other names free, also those that look alike', async () => {
    await tryLock(one, 'a name')
    for (const name of ['A name', 'a name ', 'a nam']) expect(await tryLock(other, name)).toBe(true)
    await tryLock(one, '\u00e4')
    expect(await tryLock(other, 'a\u0308')).toBe(true)
  })

  test('leaves names free whose hashes of 32 bits are the same', async () => {
    // Among so many names there are some, on any version of the server.
    const text = `SELECT min(n::text) AS a, max(n::text) AS b FROM generate_series(1, 400000) n
      GROUP BY hashtext(n::text) HAVING count(*) > 1 LIMIT 1`
    const [names] = await rowsOf<{ a: string; b: string }>(one, text)
    expect(await tryLock(one, names?.a ?? '')).toBe(true)
    expect(await tryLock(other, names?.b ?? '')).toBe(true)
  })

  test('is freed by the server when the connection ends', async () => {
    const third = await database.connect()
    expect(await tryLock(third, 'ended')).toBe(true)
    expect(await tryLock(other, 'ended')).toBe(false)
    await third.end()
    await eventually(() => tryLock(other, 'ended'))
  })

  test('is unlocked only by who has it', async () => {
    await tryLock(one, 'mine')
    expect(await unlock(other, 'mine')).toBe(false)
    expect(await tryLock(other, 'mine')).toBe(false)
  })

  test('writes no row', async () => {
    await tryLock(one, 'no row')
    expect(await rowsOf(one, "SELECT FROM elect.leases WHERE name = 'no row'")).toEqual([])
    expect(await scalar(one, 'SELECT pg_current_xact_id_if_assigned()')).toBeNull()
  })
})

describe('try_advisory_xact_lock', () => {
  test.each(['COMMIT', 'ROLLBACK'])('is held until %s', async (end) => {
    await one.query('BEGIN')
    expect(await tryXactLock(one, 'transaction')).toBe(true)
    expect(await tryXactLock(other, 'transaction')).toBe(false)
    expect(await tryLock(other, 'transaction')).toBe(false)
    await one.query(end)
    await other.query('BEGIN')
    expect(await tryXactLock(other, 'transaction')).toBe(true)
  })

  test('is given back by rolling back to a savepoint', async () => {
    await one.query('BEGIN; SAVEPOINT before')
    await tryXactLock(one, 'savepoint')
    await one.query('ROLLBACK TO before')
    expect(await tryLock(other, 'savepoint')).toBe(true)
  })

  test('is not unlocked by hand', async () => {
    await one.query('BEGIN')
    await tryXactLock(one, 'by hand')
    expect(await unlock(one, 'by hand')).toBe(false)
    expect(await tryLock(other, 'by hand')).toBe(false)
  })
})

describe.each([
  ['try_advisory_lock', tryLock],
  ['try_advisory_xact_lock', tryXactLock],
] as const)('%s and a lease of the same name', (kind, lock) => {
  const named = (name: string) => `${kind}, ${name}`

  test('the lock keeps the lease from being granted', async () => {
    await one.query('BEGIN')
    expect(await lock(one, named('locked'))).toBe(true)
    expect(await acquire(other, named('locked'), 'bob')).toEqual(nobodyKnown)
    expect(await sqlStateOf(swap(other, named('locked'), 'bob', null))).toBe('55P03')
    await one.query('ROLLBACK')
    await unlock(one, named('locked'))
    await grantTo(other, named('locked'), 'bob')
  })

  test('the lease keeps the lock from being taken, and nothing stays behind', async () => {
    const token = await grantTo(other, named('held'), 'bob')
    await one.query('BEGIN')
    expect(await lock(one, named('held'))).toBe(false)
    expect(await locksOf(one)).toBe(0)
    await release(other, named('held'), token)
    expect(await lock(one, named('held'))).toBe(true)
  })

  test('so does a lease whose grant is not committed, or that never expires', async () => {
    await other.query('BEGIN')
    await grantTo(other, named('uncommitted'), 'bob')
    expect(await lock(one, named('uncommitted'))).toBe(false)
    await other.query('COMMIT')
    expect(await lock(one, named('uncommitted'))).toBe(false)
    await swap(other, named('for ever'), 'bob', null)
    expect(await lock(one, named('for ever'))).toBe(false)
  })

  test('so does a renewal that is not committed, also when the old time is over', async () => {
    const token = await grantTo(other, named('renewing'), 'bob', '200 milliseconds')
    await other.query('BEGIN')
    await other.query('SELECT elect.renew_lease($1, $2)', [named('renewing'), token])
    // By the row as others see it.
    await untilExpired(one, named('renewing'))
    expect(await lock(one, named('renewing'))).toBe(false)
    await other.query('ROLLBACK')
  })

  test('an expired lease does not count', async () => {
    await grantTo(other, named('expired'), 'bob', '100 milliseconds')
    await untilExpired(other, named('expired'))
    await one.query('BEGIN')
    expect(await lock(one, named('expired'))).toBe(true)
  })
})

test.each(['try_advisory_lock', 'advisory_lock'])('%s that is refused keeps no lock behind', async (name) => {
  // A lease that looks vacant is looked at under its row lock, which a read-only transaction may not take.
  await release(one, 'read-only', await grantTo(one, 'read-only', 'ada'))
  await one.query('BEGIN READ ONLY')
  expect(await sqlStateOf(call(name)(one, 'read-only'))).toBe('25006')
  await one.query('ROLLBACK')
  expect(await locksOf(one)).toBe(0)
})

test('sessions that race for one mutex hold it one at a time', async () => {
  const sessions = await Promise.all(Array.from({ length: 6 }, () => database.connect()))
  let inside = 0
  let entered = 0
  await Promise.all(
    sessions.map(async (session) => {
      for (let turn = 0; turn < 100; turn += 1) {
        if (!(await tryLock(session, 'raced'))) continue
        inside += 1
        entered += 1
        expect(inside).toBe(1)
        await session.query('SELECT')
        inside -= 1
        await unlock(session, 'raced')
      }
    }),
  )
  expect(entered).toBeGreaterThan(0)
})
