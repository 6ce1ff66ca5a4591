import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  failureOf,
  grantTo,
  holderOf,
  nobodyKnown,
  release,
  stored,
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

describe('acquire_lease', () => {
  test('grants a lease that never was', async () => {
    const grant = await acquire(one, 'new', 'ada', '20 seconds')
    expect(grant).toMatchObject({ granted: true, holder: 'ada', metadata: null, expiresInMs: 20_000 })
    expect(grant.version).toBe(grant.token)
    expect(await stored(one, 'new')).toMatchObject({ holder: 'ada', token: grant.token, given: '00:00:20' })
  })

  test('gives 15 seconds where no ttl is named', async () => {
    await one.query("SELECT elect.acquire_lease('default', 'ada')")
    expect(await stored(one, 'default')).toMatchObject({ given: '00:00:15', ttl: '00:00:15', metadata: null })
  })

  test('refuses what another holds, and tells who and for how long', async () => {
    const grant = await acquire(one, 'held', 'ada', '1 hour', { url: 'http://ada' })
    const refusal = await acquire(other, 'held', 'bob')
    expect(refusal).toMatchObject({ ...grant, granted: false, expiresInMs: expect.any(Number) })
    expect(refusal.expiresInMs).toBeGreaterThan(0)
    expect(refusal.expiresInMs).toBeLessThan(3_600_000)
  })

  test('extends what is its own already under the same token: a retry after a lost answer is safe', async () => {
    const first = await acquire(one, 'retry', 'ada', '1 second')
    const before = await stored(one, 'retry')
    const again = await acquire(other, 'retry', 'ada', '1 minute')
    expect(again).toEqual({ ...first, version: Number(first.version) + 1, expiresInMs: 60_000 })
    const after = await stored(one, 'retry')
    expect(after).toMatchObject({ acquired_at: before.acquired_at, given: '00:01:00', ttl: '00:01:00' })
  })

  test('never takes back time of its own lease', async () => {
    await acquire(one, 'long', 'ada', '1 hour')
    const before = await stored(one, 'long')
    const again = await acquire(one, 'long', 'ada', '1 second')
    expect(again.granted).toBe(true)
    expect((await stored(one, 'long')).expires_at).toEqual(before.expires_at)
  })

  test('grants an expired lease to another, under a larger token', async () => {
    const first = await acquire(one, 'expiring', 'ada', '100 milliseconds', { url: 'http://ada' })
    await untilExpired(one, 'expiring')
    const second = await acquire(other, 'expiring', 'bob')
    expect(second).toMatchObject({ granted: true, holder: 'bob', metadata: null })
    expect(second.token).toBeGreaterThan(Number(first.token))
    expect(second.version).toBe(Number(first.version) + 1)
  })

  test('grants an expired lease to the same holder anew: it was gone', async () => {
    const first = await grantTo(one, 'lapsed', 'ada', '100 milliseconds')
    await untilExpired(one, 'lapsed')
    expect(await grantTo(one, 'lapsed', 'ada')).toBeGreaterThan(first)
  })

  test('grants a released lease at once', async () => {
    const first = await grantTo(one, 'released', 'ada', '1 hour')
    expect(await release(one, 'released', first)).toBe(true)
    expect(await grantTo(other, 'released', 'bob')).toBeGreaterThan(first)
  })

  test('is undone by a rollback', async () => {
    await one.query('BEGIN')
    await grantTo(one, 'undone', 'ada')
    await one.query('ROLLBACK')
    expect(await holderOf(other, 'undone')).toBeUndefined()
    await grantTo(other, 'undone', 'bob')
  })

  test('judges by the clock, not by the start of the transaction', async () => {
    await grantTo(one, 'clock', 'ada', '150 milliseconds')
    await other.query('BEGIN')
    try {
      expect(await acquire(other, 'clock', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
      await untilExpired(one, 'clock')
      expect(await acquire(other, 'clock', 'bob')).toMatchObject({ granted: true, holder: 'bob' })
    } finally {
      await other.query('ROLLBACK')
    }
  })
})

describe('metadata', () => {
  test('is told to the others, kept by a retry without it and replaced by one with it', async () => {
    await acquire(one, 'metadata', 'ada', '1 hour', { url: 'http://ada', rank: 1 })
    expect((await acquire(other, 'metadata', 'bob')).metadata).toEqual({ url: 'http://ada', rank: 1 })
    expect((await acquire(one, 'metadata', 'ada')).metadata).toEqual({ url: 'http://ada', rank: 1 })
    expect((await acquire(one, 'metadata', 'ada', '1 hour', [])).metadata).toEqual([])
    expect((await acquire(other, 'metadata', 'bob')).metadata).toEqual([])
  })

  test('may have 4096 bytes as text', async () => {
    const longest = 'x'.repeat(4094)
    expect((await acquire(one, 'longest metadata', 'ada', '1 hour', longest)).metadata).toBe(longest)
    // Bytes, not characters: 2,048 of these are 4,096 bytes without the quotes.
    const failure = await failureOf(acquire(one, 'too long', 'ada', '1 hour', 'ä'.repeat(2048)))
    expect(failure).toMatchObject({ code: '22023', message: expect.stringContaining('4098') })
  })
})

describe('names', () => {
  const composed = '\u00e4'
  const decomposed = 'a\u0308'

  test.each([
    ['case', 'Billing', 'billing'],
    ['composition', composed, decomposed],
    ['a space at the end', 'nightly', 'nightly '],
    ['width', 'Ａ', 'A'],
  ])('compare bytewise: they differ by %s', async (_difference, left, right) => {
    await grantTo(one, left, 'ada')
    expect(await acquire(other, right, 'bob')).toMatchObject({ granted: true, holder: 'bob' })
    expect(await acquire(other, left, 'bob')).toMatchObject({ granted: false, holder: 'ada' })
  })

  test('have at most 200 bytes, however few characters', async () => {
    await grantTo(one, composed.repeat(100), 'ada')
    const failure = await failureOf(acquire(one, composed.repeat(101), 'ada'))
    expect(failure).toMatchObject({ code: '22023', message: expect.stringContaining('202 bytes') })
  })

  test('holders too are counted in bytes and compared bytewise', async () => {
    await grantTo(one, 'holders', composed.repeat(250))
    expect((await acquire(one, 'holders', decomposed)).granted).toBe(false)
    const failure = await failureOf(acquire(one, 'other holders', composed.repeat(251)))
    expect(failure).toMatchObject({ code: '22023', message: expect.stringContaining('502 bytes') })
  })

  test('can be anything that text can be', async () => {
    const odd = `'; DROP TABLE elect.leases; --\n"\\\t\u{1f512}`
    await grantTo(one, odd, odd)
    expect(await acquire(other, odd, 'bob')).toMatchObject({ granted: false, holder: odd })
  })
})

test('a refusal of what is changing hands names nobody', async () => {
  await one.query('BEGIN')
  try {
    await grantTo(one, 'changing', 'ada')
    expect(await acquire(other, 'changing', 'bob')).toEqual(nobodyKnown)
  } finally {
    await one.query('ROLLBACK')
  }
})
