import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  failureOf,
  grantTo,
  inTransaction,
  rowsOf,
  scalar,
  sqlStateOf,
  transfer,
  useDatabase,
} from './leases.ts'
import { Ledger } from './ledger.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let observer: pg.Client
let billing: Ledger

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  observer = await database.connect()
  billing = await ledgerOf('billing')
})

beforeEach(async () => {
  await client.query('ROLLBACK')
  await other.query('ROLLBACK')
})

async function ledgerOf(lease: string): Promise<Ledger> {
  return new Ledger(client, lease, await grantTo(client, lease, 'ada', '1 hour'))
}

/** Hands the lease on: the ledger as the next leader has it. */
async function nextOf({ lease, token }: Ledger): Promise<Ledger> {
  return new Ledger(client, lease, Number((await transfer(client, lease, token, 'next')).token))
}

describe('an operation', () => {
  test('is begun, done, and answers with its result from then on', async () => {
    const begun = await billing.begin('plain')
    expect(begun).toMatchObject({ state: 'begun', attempt: 1, result: null, error: null })
    expect(begun.idempotency_key).toMatch(/^[0-9a-f-]{36}$/)
    await billing.finish('plain', { charged: 5 })
    const done = { ...begun, state: 'done', result: { charged: 5 } }
    expect(await billing.begin('plain')).toEqual(done)
    expect(await billing.begin('plain', false)).toEqual(done)
    expect(await billing.stored('plain')).toMatchObject([{ token: billing.token, attempt: 1, state: 'done' }])
  })

  test('that was begun and not done is begun again, under the same idempotency key', async () => {
    const first = await billing.begin('again')
    for (const attempt of [2, 3]) expect(await billing.begin('again', false)).toEqual({ ...first, attempt })
  })

  test('keeps its idempotency key under the next leader, whose token it gets', async () => {
    const old = await ledgerOf('succession')
    const first = await old.begin('x')
    const next = await nextOf(old)
    expect(await next.begin('x')).toEqual({ ...first, attempt: 2 })
    expect(await next.stored('x')).toMatchObject([{ token: next.token, state: 'begun' }])
    await next.finish('x', 1)
    const last = await nextOf(next)
    expect(await last.begin('x')).toMatchObject({ state: 'done', result: 1 })
    // What is done is not touched by those who ask for it.
    expect(await last.stored('x')).toMatchObject([{ token: next.token, attempt: 2 }])
  })

  test('of one lease is none of another, and keys compare bytewise', async () => {
    const shipping = await ledgerOf('shipping')
    const begun = [
      await billing.begin('shared'),
      await shipping.begin('shared'),
      await billing.begin('Shared'),
      await billing.begin('shared '),
    ]
    expect(begun.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1])
    expect(new Set(begun.map(({ idempotency_key }) => idempotency_key)).size).toBe(4)
  })

  test('that failed is tried again under the same key unless the caller says no', async () => {
    const first = await billing.begin('fails')
    await billing.fail('fails', { message: 'declined' })
    expect(await billing.begin('fails', false)).toEqual({
      ...first,
      state: 'failed',
      error: { message: 'declined' },
    })
    expect(await billing.stored('fails')).toMatchObject([{ state: 'failed', settled_at: expect.any(Date) }])
    expect(await billing.begin('fails')).toEqual({ ...first, attempt: 2 })
    expect(await billing.stored('fails')).toMatchObject([{ state: 'begun', settled_at: null, error: null }])
    await billing.finish('fails')
    expect(await billing.begin('fails')).toEqual({ ...first, state: 'done', attempt: 2 })
  })

  test('is settled a second time without change, but not the other way', async () => {
    await billing.begin('twice')
    await billing.finish('twice', 'first')
    const before = await billing.stored('twice')
    await billing.finish('twice', 'second')
    expect(await billing.stored('twice')).toEqual(before)
    expect(await sqlStateOf(billing.fail('twice', 'no'))).toBe('LE003')
    await billing.begin('failed twice')
    await billing.fail('failed twice', 'first')
    await billing.fail('failed twice', 'second')
    expect(await billing.stored('failed twice')).toMatchObject([{ error: 'first' }])
    expect(await sqlStateOf(billing.finish('failed twice'))).toBe('LE003')
  })

  test('commits and rolls back with the transaction that it is in', async () => {
    await inTransaction(client, async () => {
      await billing.begin('undone')
      await billing.finish('undone')
    })
    expect(await billing.stored('undone')).toEqual([])
  })

  test('keeps the lease from being granted anew until the commit', async () => {
    const old = await ledgerOf('kept')
    await client.query('BEGIN')
    await old.begin('x')
    const pid = await backendPid(other)
    const successor = transfer(other, 'kept', old.token, 'bob')
    await whenBlocked(observer, pid)
    await client.query('COMMIT')
    expect((await successor).granted).toBe(true)
    expect(await sqlStateOf(old.finish('x', 1))).toBe('LE001')
  })
})

describe('two transactions that begin the same operation', () => {
  /** Begins it twice: in a transaction that stays open, and beside it. */
  async function beginTwice(key: string) {
    const beside = new Ledger(other, billing.lease, billing.token)
    await client.query('BEGIN')
    const first = await billing.begin(key)
    const pid = await backendPid(other)
    const second = beside.begin(key)
    await whenBlocked(observer, pid)
    return { first, second }
  }

  test('get the same idempotency key, one after the other', async () => {
    const { first, second } = await beginTwice('concurrent')
    await client.query('COMMIT')
    expect(await second).toEqual({ ...first, attempt: 2 })
  })

  test('get the result, where the first one does it', async () => {
    const { first, second } = await beginTwice('done meanwhile')
    await billing.finish('done meanwhile', 42)
    await client.query('COMMIT')
    expect(await second).toEqual({ ...first, state: 'done', result: 42 })
  })

  test('are one, where the first one rolls back', async () => {
    const { first, second } = await beginTwice('rolled back')
    await client.query('ROLLBACK')
    expect(await second).toMatchObject({ state: 'begun', attempt: 1 })
    expect((await second).idempotency_key).not.toBe(first.idempotency_key)
  })
})

describe('prune_operations', () => {
  test('removes what was settled that long ago, and never what is begun', async () => {
    const pruned = await ledgerOf('pruned')
    for (const key of ['old done', 'old failed', 'old begun', 'new done']) await pruned.begin(key)
    await pruned.finish('old done', 1)
    await pruned.fail('old failed', 1)
    await pruned.finish('new done', 1)
    await client.query(
      `UPDATE elect.operations SET begun_at = begun_at - interval '9 days', settled_at = settled_at - interval '9 days'
       WHERE lease = 'pruned' AND operation_key LIKE 'old %'`,
    )
    const prune = (age: string) => scalar(client, 'SELECT elect.prune_operations($1)::int', [age])
    const left = async () => {
      const text = "SELECT operation_key AS key FROM elect.operations WHERE lease = 'pruned' ORDER BY 1"
      return (await rowsOf(client, text)).map(({ key }) => key)
    }
    expect(await prune('10 days')).toBe(0)
    expect(await prune('8 days')).toBe(2)
    expect(await left()).toEqual(['new done', 'old begun'])
    await prune('0 seconds')
    expect(await left()).toEqual(['old begun'])
  })

  test.each(['-1 seconds', '101 years', null])('refuses %s', async (age) => {
    const { code, message } = await failureOf(client.query('SELECT elect.prune_operations($1)', [age]))
    expect(code).toBe('22023')
    expect(message).toMatch(/^Invalid older_than: expected 0 seconds to 100 years, got /)
  })
})
