import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { grantTo, holderOf, renew, scalar, stored, swap, untilExpired, useDatabase } from './leases.ts'

const database = useDatabase()
let one: pg.Client
let other: pg.Client

beforeAll(async () => {
  one = await database.connect()
  other = await database.connect()
})

function swapVersion(
  client: pg.Client,
  key: string,
  next: string | null,
  version: number,
  ttl: string | null = null,
): Promise<number | null> {
  const text =
    'SELECT elect.compare_and_swap_version(key => $1, next => $2, version => $3, ttl => $4)::float8'
  return scalar(client, text, [key, next, version, ttl])
}

test('version 0 expects the key to be vacant', async () => {
  const version = await swapVersion(one, 'k', 'a', 0)
  expect(version).toBe((await stored(one, 'k')).version)
  expect(await swapVersion(one, 'k', 'b', 0)).toBeNull()
  expect(await holderOf(one, 'k')).toBe('a')
})

test('version 0 is right for a key that was emptied or has expired, too', async () => {
  await swapVersion(one, 'emptied', 'a', 0)
  await swap(one, 'emptied', null, 'a')
  expect(await swapVersion(one, 'emptied', 'b', 0)).toBe((await stored(one, 'emptied')).version)

  await swapVersion(one, 'expiring', 'a', 0, '100 milliseconds')
  expect(await swapVersion(one, 'expiring', 'b', 0)).toBeNull()
  await untilExpired(one, 'expiring')
  expect(await swapVersion(one, 'expiring', 'b', 0)).not.toBeNull()
  expect(await holderOf(one, 'expiring')).toBe('b')
})

test('the version of the last write is right, an older or newer one is not', async () => {
  const first = Number(await swapVersion(one, 'chain', 'a', 0))
  const second = await swapVersion(one, 'chain', 'b', first)
  expect(second).toBe(first + 1)
  expect(await swapVersion(one, 'chain', 'c', first)).toBeNull()
  expect(await swapVersion(one, 'chain', 'c', first + 2)).toBeNull()
  expect(await holderOf(one, 'chain')).toBe('b')
  expect(await swapVersion(one, 'chain', 'c', first + 1)).toBe(first + 2)
})

test('every write counts, also one that leaves the value as it is', async () => {
  const token = await grantTo(one, 'renewed', 'ada')
  const { version } = await renew(one, 'renewed', token)
  expect(await swapVersion(one, 'renewed', 'bob', token)).toBeNull()
  expect(await swapVersion(one, 'renewed', 'bob', Number(version))).toBe(Number(version) + 1)
})

test('an empty next vacates, and its version is right for the next value', async () => {
  const first = Number(await swapVersion(one, 'vacated', 'a', 0))
  expect(await swapVersion(one, 'vacated', '', first)).toBe(first + 1)
  expect(await holderOf(one, 'vacated')).toBeUndefined()
  // Vacant is vacant: emptying it again is no write.
  expect(await swapVersion(one, 'vacated', null, first + 1)).toBe(first + 1)
  expect(await swapVersion(one, 'vacated', 'b', first + 1)).toBe(first + 2)
  expect(await swapVersion(one, 'never was', null, 0)).toBe(0)
})

test('the same value keeps its token, another gets a larger one', async () => {
  const first = Number(await swapVersion(one, 'tokens', 'a', 0))
  const { token } = await stored(one, 'tokens')
  await swapVersion(one, 'tokens', 'a', first)
  expect((await stored(one, 'tokens')).token).toBe(token)
  await swapVersion(one, 'tokens', 'b', first + 1)
  expect((await stored(one, 'tokens')).token).toBeGreaterThan(token)
})

test('a value that comes back is told apart from the first one, even over a prune', async () => {
  const first = Number(await swapVersion(one, 'aba', 'a', 0))
  await swap(one, 'aba', 'b', 'a')
  await swap(one, 'aba', 'a', 'b')
  expect(await swapVersion(one, 'aba', 'c', first)).toBeNull()

  await swap(one, 'aba', null, 'a')
  const pruned = await scalar(one, "SELECT elect.prune_leases('0 seconds')::int")
  expect(pruned).toBeGreaterThan(0)
  expect(await swapVersion(one, 'aba', 'a', first)).toBeNull()
  const anew = Number(await swapVersion(one, 'aba', 'a', 0))
  expect(anew).toBeGreaterThan(first + 3)
  expect(await swapVersion(one, 'aba', 'c', first)).toBeNull()
  expect(await holderOf(one, 'aba')).toBe('a')
})

test('two sessions race: exactly one gets the new version', async () => {
  let version = 0
  for (let round = 0; round < 200; round += 1) {
    const outcomes = await Promise.all([
      swapVersion(one, 'raced', `a${round}`, version),
      swapVersion(other, 'raced', `b${round}`, version),
    ])
    const [winner, ...others] = outcomes.filter((outcome) => outcome !== null)
    expect(others).toEqual([])
    expect(await holderOf(one, 'raced')).toBe(`${outcomes[0] === null ? 'b' : 'a'}${round}`)
    version = Number(winner)
  }
})

test('it waits for a write under way, and is right about it', async () => {
  const first = Number(await swapVersion(one, 'waits', 'a', 0))
  await one.query('BEGIN')
  await swapVersion(one, 'waits', 'b', first)
  const pid = await backendPid(other)
  const outcome = swapVersion(other, 'waits', 'c', first)
  await whenBlocked(one, pid)
  await one.query('COMMIT')
  expect(await outcome).toBeNull()
  expect(await holderOf(one, 'waits')).toBe('b')
})
