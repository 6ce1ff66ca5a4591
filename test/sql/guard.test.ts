import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  failureOf,
  grantTo,
  guard,
  holderOf,
  nobodyKnown,
  release,
  renew,
  rowsOf,
  sqlStateOf,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
/** The session of the guarded transaction. */
let guarded: pg.Client
let other: pg.Client
let observer: pg.Client

beforeAll(async () => {
  guarded = await database.connect()
  other = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  await guarded.query('ROLLBACK')
  await other.query('ROLLBACK')
  // What should not wait fails, instead of leaving it to the time limit of the test.
  await other.query("SET lock_timeout = '5s'")
})

/** Grants the lease to ada and opens a transaction that is guarded by it. */
async function openGuard(name: string, ttl = '1 hour'): Promise<number> {
  const token = await grantTo(guarded, name, 'ada', ttl)
  await guarded.query('BEGIN')
  await guard(guarded, name, token)
  return token
}

describe('while a guarded transaction is open', () => {
  test('the holder renews without waiting', async () => {
    const token = await openGuard('renewed')
    expect((await renew(other, 'renewed', token)).granted).toBe(true)
    expect((await acquire(other, 'renewed', 'ada')).granted).toBe(true)
    const many = 'SELECT granted FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint])'
    expect(await rowsOf(other, many, ['renewed', token])).toEqual([{ granted: true }])
    await guarded.query('COMMIT')
  })

  test('other guards of the same lease do not wait', async () => {
    const token = await openGuard('shared')
    await guard(other, 'shared', token)
  })

  test('the expired lease is granted to nobody, and to the next when it ends', async () => {
    const token = await openGuard('overstayed', '150 milliseconds')
    await untilExpired(observer, 'overstayed')
    expect(await acquire(other, 'overstayed', 'bob')).toEqual(nobodyKnown)
    await guarded.query('COMMIT')
    expect(await grantTo(other, 'overstayed', 'bob')).toBeGreaterThan(token)
  })

  test('a release goes through, but does not let the next one in', async () => {
    const token = await openGuard('released')
    expect(await release(other, 'released', token)).toBe(true)
    expect(await holderOf(other, 'released')).toBeUndefined()
    expect(await acquire(other, 'released', 'bob')).toEqual(nobodyKnown)
    await guarded.query('COMMIT')
    await grantTo(other, 'released', 'bob')
  })

  test('an expired lease is not pruned', async () => {
    await openGuard('kept', '150 milliseconds')
    await untilExpired(observer, 'kept')
    await other.query("SELECT elect.prune_leases('0 seconds')")
    expect(await rowsOf(other, "SELECT FROM elect.leases WHERE name = 'kept'")).toHaveLength(1)
  })

  const changes: [string, (name: string, token: number) => Promise<unknown>][] = [
    ['transfer_lease', (name, token) => transfer(other, name, token, 'bob')],
    ['force_release', (name) => other.query("SELECT elect.force_release($1, 'a test')", [name])],
    ['compare_and_swap', (name) => swap(other, name, 'bob', 'ada')],
    [
      'compare_and_swap_version',
      (name, token) => other.query("SELECT elect.compare_and_swap_version($1, 'bob', $2)", [name, token]),
    ],
  ]

  test.each(changes)('%s waits, and gives up with 55P03', async (name, change) => {
    const token = await openGuard(name)
    // The caller has all the time in the world: the patience that ends is the function's own.
    await other.query('SET lock_timeout = 0')
    const pid = await backendPid(other)
    const failure = sqlStateOf(change(name, token))
    await whenBlocked(observer, pid)
    expect(await failure).toBe('55P03')
    expect(await holderOf(observer, name)).toBe('ada')
    expect(await rowsOf(other, 'SHOW lock_timeout')).toEqual([{ lock_timeout: '0' }])
  })

  test.each(changes)('%s goes through when it ends meanwhile', async (change, make) => {
    const name = `${change} in time`
    const token = await openGuard(name)
    const pid = await backendPid(other)
    const outcome = make(name, token)
    await whenBlocked(observer, pid)
    await guarded.query('COMMIT')
    await outcome
    expect(await holderOf(observer, name)).toBe(change === 'force_release' ? undefined : 'bob')
    expect(await sqlStateOf(guard(guarded, name, token))).toBe('LE001')
  })

  test('a transfer that has waited past the expiry is refused', async () => {
    const token = await openGuard('transferred late', '300 milliseconds')
    const pid = await backendPid(other)
    const answer = transfer(other, 'transferred late', token, 'bob')
    await whenBlocked(observer, pid)
    await untilExpired(observer, 'transferred late')
    await guarded.query('COMMIT')
    expect(await answer).toEqual(nobodyKnown)
  })

  test('even a takeover written by hand waits', async () => {
    const token = await openGuard('by hand', '150 milliseconds')
    await untilExpired(observer, 'by hand')
    const pid = await backendPid(other)
    await other.query('SET ROLE elect_owner')
    const takeover = other.query(
      `UPDATE elect.leases SET holder = 'bob', token = token + 1, expires_at = clock_timestamp() + interval '1 hour'
       WHERE name = 'by hand'`,
    )
    await whenBlocked(observer, pid)
    await guarded.query('COMMIT')
    expect((await takeover).rowCount).toBe(1)
    await other.query('RESET ROLE')
    expect(await sqlStateOf(guard(guarded, 'by hand', token))).toBe('LE001')
  })
})

describe('the guard refuses', () => {
  const refusal = async (name: string, token: number) => {
    const { code, message, detail, hint } = await failureOf(guard(guarded, name, token))
    expect({ code, message }).toEqual({
      code: 'LE001',
      message: `Lease ${name} is not held with token ${token}`,
    })
    expect(hint).toMatch(/acquire the lease anew/)
    return detail
  }

  test('an expired lease', async () => {
    const token = await grantTo(guarded, 'expired', 'ada', '100 milliseconds')
    await untilExpired(observer, 'expired')
    expect(await refusal('expired', token)).toBe('It has expired.')
  })

  test('a lease that expires within the transaction', async () => {
    const token = await grantTo(guarded, 'expires', 'ada', '150 milliseconds')
    await guarded.query('BEGIN')
    await guard(guarded, 'expires', token)
    await untilExpired(guarded, 'expires')
    expect(await refusal('expires', token)).toBe('It has expired.')
  })

  test('a released lease', async () => {
    const token = await grantTo(guarded, 'given back', 'ada')
    await release(guarded, 'given back', token)
    expect(await refusal('given back', token)).toBe('It was released.')
  })

  test('a stale token', async () => {
    const stale = await grantTo(guarded, 'stale', 'ada')
    const { token } = await transfer(guarded, 'stale', stale, 'bob')
    expect(await refusal('stale', stale)).toBe(`It was granted again since, with token ${token}.`)
  })

  test('a token that was never given, and a name that never was', async () => {
    const token = await grantTo(guarded, 'never', 'ada')
    expect(await refusal('never', token + 1)).toBe('No such grant is known.')
    expect(await refusal('never was', token)).toBe('No such grant is known.')
  })

  test('what is transferred by a transaction that it had to wait for', async () => {
    const stale = await grantTo(guarded, 'waits', 'ada')
    await other.query('BEGIN')
    await transfer(other, 'waits', stale, 'bob')
    const pid = await backendPid(guarded)
    const detail = refusal('waits', stale)
    await whenBlocked(observer, pid)
    await other.query('COMMIT')
    expect(await detail).toMatch(/granted again since/)
  })
})

test('what rolls back to a savepoint guards no more', async () => {
  const token = await grantTo(guarded, 'savepoint', 'ada', '150 milliseconds')
  await guarded.query('BEGIN')
  await guarded.query('SAVEPOINT before')
  await guard(guarded, 'savepoint', token)
  await untilExpired(observer, 'savepoint')
  expect(await acquire(other, 'savepoint', 'bob')).toEqual(nobodyKnown)
  await guarded.query('ROLLBACK TO before')
  // So the proof is gone too: the transaction may go on only with a guard anew.
  await grantTo(other, 'savepoint', 'bob')
  expect(await sqlStateOf(guard(guarded, 'savepoint', token))).toBe('LE001')
})

test('a transaction that may not write cannot guard', async () => {
  const token = await grantTo(guarded, 'read only', 'ada')
  await guarded.query('BEGIN READ ONLY')
  expect(await sqlStateOf(guard(guarded, 'read only', token))).toBe('25006')
})
