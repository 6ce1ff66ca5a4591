import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  failureOf,
  holderOf,
  release,
  renew,
  rowsOf,
  stored,
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

describe('compare_and_swap', () => {
  test('does what the textbook says, step by step', async () => {
    expect(await swap(one, 'k', 'a', null)).toBe(true)
    expect(await swap(one, 'k', 'a', null)).toBe(false)
    expect(await swap(one, 'k', 'b', 'a')).toBe(true)
    expect(await holderOf(other, 'k')).toBe('b')
    expect(await swap(one, 'k', 'c', 'a')).toBe(false)
    expect(await holderOf(other, 'k')).toBe('b')
    expect(await swap(one, 'k', null, 'b')).toBe(true)
    expect(await holderOf(other, 'k')).toBeUndefined()
    expect(await failureOf(swap(one, 'k', 'c', 'b'))).toMatchObject({
      code: 'LE002',
      message: 'Expected value b for key k, but found empty',
    })
    expect(await swap(one, 'k', 'c', null)).toBe(true)
  })

  test('expects a value that is not there: an error, not an answer', async () => {
    expect(await failureOf(swap(one, 'absent', 'a', 'b'))).toMatchObject({
      code: 'LE002',
      message: 'Expected value b for key absent, but found empty',
      hint: expect.any(String),
    })
    expect(await rowsOf(one, "SELECT FROM elect.leases WHERE name = 'absent'")).toEqual([])
  })

  test('reads as empty after the ttl', async () => {
    expect(await swap(one, 'short', 'a', null, '150 milliseconds')).toBe(true)
    expect(await swap(one, 'short', 'b', null)).toBe(false)
    await untilExpired(one, 'short')
    expect((await failureOf(swap(one, 'short', 'b', 'a'))).message).toBe(
      'Expected value a for key short, but found empty',
    )
    expect(await swap(one, 'short', 'b', null)).toBe(true)
  })

  test("takes '' for empty, as it takes null", async () => {
    expect(await swap(one, 'empty', 'a', '')).toBe(true)
    expect(await swap(one, 'empty', 'a', '')).toBe(false)
    expect(await swap(one, 'empty', '', 'a')).toBe(true)
    expect(await holderOf(one, 'empty')).toBeUndefined()
    expect(await swap(one, 'empty', '', '')).toBe(true)
    expect(await swap(one, 'never', null, null)).toBe(true)
    expect(await rowsOf(one, "SELECT FROM elect.leases WHERE name = 'never'")).toEqual([])
    expect((await failureOf(swap(one, 'empty', '', 'a'))).code).toBe('LE002')
  })

  test('keeps the value for ever without a ttl', async () => {
    await swap(one, 'for ever', 'a', null)
    expect(await stored(one, 'for ever')).toMatchObject({ expires_at: null, ttl: null })
    expect(await acquire(one, 'for ever', 'bob')).toMatchObject({ granted: false, expiresInMs: null })
  })

  test('gives each new value a larger token, and keeps it where the value stays', async () => {
    await swap(one, 'tokens', 'a', null)
    const first = await stored(one, 'tokens')
    expect(await swap(one, 'tokens', 'a', 'a')).toBe(true)
    const same = await stored(one, 'tokens')
    expect(same).toMatchObject({ token: first.token, version: first.version + 1 })
    expect(same.acquired_at).toEqual(first.acquired_at)
    expect(await swap(one, 'tokens', 'b', 'a')).toBe(true)
    const next = await stored(one, 'tokens')
    expect(next.token).toBeGreaterThan(first.token)
    expect(next.version).toBe(first.version + 2)
  })

  test('compares bytewise', async () => {
    await swap(one, 'bytes', '\u00e4', null)
    expect(await swap(one, 'bytes', 'x', 'a\u0308')).toBe(false)
    expect(await swap(one, 'bytes', 'x', '\u00c4')).toBe(false)
    expect(await swap(one, 'bytes', 'x', '\u00e4 ')).toBe(false)
    expect(await swap(one, 'bytes', 'x', '\u00e4')).toBe(true)
  })

  test('is the same register as the lease', async () => {
    const { token } = await acquire(one, 'both', 'ada', '1 hour', { url: 'http://ada' })
    expect(await swap(other, 'both', 'bob', 'ada', '1 minute')).toBe(true)
    expect(await renew(one, 'both', Number(token))).toMatchObject({
      granted: false,
      holder: 'bob',
      metadata: null,
    })
    const taken = await stored(one, 'both')
    expect(await renew(one, 'both', taken.token)).toMatchObject({ granted: true, expiresInMs: 60_000 })
    expect(await release(one, 'both', taken.token)).toBe(true)
    expect(await swap(other, 'both', 'eve', null)).toBe(true)
  })
})

describe('two sessions race', () => {
  const rounds = Array.from({ length: 200 }, (_, index) => index)

  test('for an absent key: exactly one is told true, the other false', async () => {
    for (const round of rounds) {
      const outcomes = await Promise.all([
        swap(one, `absent ${round}`, 'a', null),
        swap(other, `absent ${round}`, 'b', null),
      ])
      expect(outcomes.toSorted()).toEqual([false, true])
      expect(await holderOf(one, `absent ${round}`)).toBe(outcomes[0] ? 'a' : 'b')
    }
  })

  test('for one value: exactly one is told true, the other false', async () => {
    await swap(one, 'raced', 'start', null)
    let current = 'start'
    for (const round of rounds) {
      const outcomes = await Promise.all([
        swap(one, 'raced', `a${round}`, current),
        swap(other, 'raced', `b${round}`, current),
      ])
      expect(outcomes.toSorted()).toEqual([false, true])
      current = `${outcomes[0] ? 'a' : 'b'}${round}`
      expect(await holderOf(one, 'raced')).toBe(current)
    }
  })

  test('for a counter: no increment is lost', async () => {
    await swap(one, 'counter', '0', null)
    const incrementTimes = async (client: pg.Client, times: number) => {
      for (let done = 0; done < times; ) {
        const value = Number(await holderOf(client, 'counter'))
        if (await swap(client, 'counter', `${value + 1}`, `${value}`)) done += 1
      }
    }
    await Promise.all([incrementTimes(one, 50), incrementTimes(other, 50)])
    expect(await holderOf(one, 'counter')).toBe('100')
  })
})

test('a swap with another value is refused without waiting for who is at the key', async () => {
  await swap(one, 'busy', 'a', null)
  await one.query('BEGIN')
  await swap(one, 'busy', 'b', 'a')
  await other.query("SET lock_timeout = '100ms'")
  expect(await swap(other, 'busy', 'd', 'c')).toBe(false)
  await one.query('ROLLBACK')
})
