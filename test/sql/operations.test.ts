import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  failureOf,
  grantTo,
  guard,
  inTransaction,
  oneRow,
  release,
  rowsOf,
  scalar,
  sqlStateOf,
  transfer,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let observer: pg.Client
let token: number

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  observer = await database.connect()
  token = await grantTo(client, 'billing', 'ada', '1 hour')
})

beforeEach(async () => {
  await client.query('ROLLBACK')
  await other.query('ROLLBACK')
})

interface Begun {
  state: string
  idempotency_key: string
  attempt: number
  result: unknown
  error: unknown
}

function begin(
  key: string,
  { as = token, by = client, lease = 'billing', retry = true } = {},
): Promise<Begun> {
  return oneRow(by, 'SELECT * FROM elect.begin_operation($1, $2, $3, $4)', [lease, as, key, retry])
}

async function finish(key: string, result: unknown = null, as = token, lease = 'billing'): Promise<void> {
  const json = result === null ? null : JSON.stringify(result)
  await client.query('SELECT elect.finish_operation($1, $2, $3, $4)', [lease, as, key, json])
}

async function fail(key: string, error: unknown = null, as = token, lease = 'billing'): Promise<void> {
  const json = error === null ? null : JSON.stringify(error)
  await client.query('SELECT elect.fail_operation($1, $2, $3, $4)', [lease, as, key, json])
}

function ledger(key: string, lease = 'billing') {
  return rowsOf(
    client,
    'SELECT *, token::float8 FROM elect.operations WHERE lease = $1 AND operation_key = $2',
    [lease, key],
  )
}

describe('an operation', () => {
  test('is begun, done, and answers with its result from then on', async () => {
    const begun = await begin('plain')
    expect(begun).toMatchObject({ state: 'begun', attempt: 1, result: null, error: null })
    expect(begun.idempotency_key).toMatch(/^[0-9a-f-]{36}$/)
    await finish('plain', { charged: 5 })
    const done = {
      state: 'done',
      attempt: 1,
      idempotency_key: begun.idempotency_key,
      result: { charged: 5 },
      error: null,
    }
    expect(await begin('plain')).toEqual(done)
    expect(await begin('plain', { retry: false })).toEqual(done)
    expect(await ledger('plain')).toMatchObject([{ token, attempt: 1, state: 'done' }])
  })

  test('that was begun and not done is begun again, under the same idempotency key', async () => {
    const first = await begin('again')
    for (const attempt of [2, 3]) {
      expect(await begin('again', { retry: false })).toMatchObject({ ...first, attempt })
    }
  })

  test('keeps its idempotency key under the next leader, whose token it gets', async () => {
    const old = await grantTo(client, 'succession', 'ada', '1 hour')
    const first = await begin('x', { as: old, lease: 'succession' })
    const { token: next } = await transfer(client, 'succession', old, 'bob')
    const second = await begin('x', { as: Number(next), lease: 'succession' })
    expect(second).toEqual({ ...first, attempt: 2 })
    expect(await ledger('x', 'succession')).toMatchObject([{ token: next, state: 'begun' }])
    await finish('x', 1, Number(next), 'succession')
    const { token: last } = await transfer(client, 'succession', Number(next), 'cyd')
    expect(await begin('x', { as: Number(last), lease: 'succession' })).toMatchObject({
      state: 'done',
      result: 1,
    })
    // What is done is not touched by those who ask for it.
    expect(await ledger('x', 'succession')).toMatchObject([{ token: next, attempt: 2 }])
  })

  test('of one lease is none of another, and keys compare bytewise', async () => {
    const otherToken = await grantTo(client, 'shipping', 'ada', '1 hour')
    const keys = [
      await begin('shared'),
      await begin('shared', { as: otherToken, lease: 'shipping' }),
      await begin('Shared'),
      await begin('shared '),
    ].map(({ idempotency_key }) => idempotency_key)
    expect(new Set(keys).size).toBe(4)
  })

  test('that failed is tried again under the same key unless the caller says no', async () => {
    const first = await begin('fails')
    await fail('fails', { message: 'declined' })
    const failed = { state: 'failed', attempt: 1, error: { message: 'declined' }, result: null }
    expect(await begin('fails', { retry: false })).toEqual({
      ...failed,
      idempotency_key: first.idempotency_key,
    })
    expect(await ledger('fails')).toMatchObject([{ state: 'failed', settled_at: expect.any(Date) }])
    expect(await begin('fails')).toEqual({ ...first, attempt: 2 })
    expect(await ledger('fails')).toMatchObject([{ state: 'begun', settled_at: null, error: null }])
    await finish('fails')
    expect(await begin('fails')).toMatchObject({ state: 'done', result: null, error: null, attempt: 2 })
  })

  test('is settled a second time without change, but not the other way', async () => {
    await begin('twice')
    await finish('twice', 'first')
    const before = await ledger('twice')
    await finish('twice', 'second')
    expect(await ledger('twice')).toEqual(before)
    expect(await sqlStateOf(fail('twice', 'no'))).toBe('LE003')
    await begin('failed twice')
    await fail('failed twice', 'first')
    await fail('failed twice', 'second')
    expect(await ledger('failed twice')).toMatchObject([{ error: 'first' }])
    expect(await sqlStateOf(finish('failed twice'))).toBe('LE003')
  })

  test('commits and rolls back with the transaction that it is in', async () => {
    await inTransaction(client, async () => {
      await begin('undone')
      await finish('undone')
    })
    expect(await ledger('undone')).toEqual([])
  })

  test('keeps the lease from being granted anew until the commit', async () => {
    const old = await grantTo(client, 'kept', 'ada', '1 hour')
    await client.query('BEGIN')
    await begin('x', { as: old, lease: 'kept' })
    const pid = await backendPid(other)
    const successor = transfer(other, 'kept', old, 'bob')
    await whenBlocked(observer, pid)
    await client.query('COMMIT')
    expect((await successor).granted).toBe(true)
    expect(await sqlStateOf(finish('x', 1, old, 'kept'))).toBe('LE001')
  })
})

describe('nothing is written and LE001 said', () => {
  const steps = [
    ['begin_operation', (as: number) => begin('begun', { as, lease: 'stale' })],
    ['begin_operation of a new one', (as: number) => begin('new', { as, lease: 'stale' })],
    ['finish_operation', (as: number) => finish('begun', 1, as, 'stale')],
    ['fail_operation', (as: number) => fail('begun', 1, as, 'stale')],
  ] as const
  let stale: number
  let current: number
  beforeAll(async () => {
    stale = await grantTo(client, 'stale', 'ada', '1 hour')
    await begin('begun', { as: stale, lease: 'stale' })
    current = Number((await transfer(client, 'stale', stale, 'bob')).token)
  })
  const table = () => rowsOf(client, 'SELECT ctid, xmin, o.* FROM elect.operations o ORDER BY 3, 4')

  test.each(steps)('by %s with a stale or an unknown token', async (_name, step) => {
    const before = await table()
    for (const bad of [stale, current + 1]) expect(await sqlStateOf(step(bad))).toBe('LE001')
    expect(await table()).toEqual(before)
  })

  test.each(steps)('by %s with a token that the transaction claims to carry', async (_name, step) => {
    const before = await table()
    await inTransaction(client, async () => {
      await client.query(`SELECT set_config('elect.tokens', $1, true)`, [JSON.stringify({ stale })])
      expect(await sqlStateOf(step(stale))).toBe('LE001')
    })
    expect(await table()).toEqual(before)
  })

  test.each(steps)(
    'by %s with a stale token in a transaction guarded by the current one',
    async (_name, step) => {
      const before = await table()
      await inTransaction(client, async () => {
        await guard(client, 'stale', current)
        expect(await sqlStateOf(step(stale))).toBe('LE001')
      })
      expect(await table()).toEqual(before)
    },
  )

  test('after a release', async () => {
    const given = await grantTo(client, 'given back', 'ada', '1 hour')
    await begin('x', { as: given, lease: 'given back' })
    await release(client, 'given back', given)
    expect(await sqlStateOf(finish('x', 1, given, 'given back'))).toBe('LE001')
  })
})

describe('LE003 is said', () => {
  test.each([
    ['finish_operation', finish],
    ['fail_operation', fail],
  ] as const)('by %s of an operation that was never begun', async (_name, settle) => {
    const { code, message, hint } = await failureOf(settle('never'))
    expect({ code, message }).toEqual({
      code: 'LE003',
      message: `Operation never of lease billing was not begun under token ${token}`,
    })
    expect(hint).toContain('begin_operation')
  })

  test('of one that an earlier leader began', async () => {
    const old = await grantTo(client, 'inherited', 'ada', '1 hour')
    await begin('x', { as: old, lease: 'inherited' })
    const { token: next } = await transfer(client, 'inherited', old, 'bob')
    expect(await sqlStateOf(finish('x', 1, Number(next), 'inherited'))).toBe('LE003')
    expect(await ledger('x', 'inherited')).toMatchObject([{ state: 'begun', token: old }])
  })
})

describe('two transactions that begin the same operation', () => {
  test('get the same idempotency key, one after the other', async () => {
    await client.query('BEGIN')
    const first = await begin('concurrent')
    const pid = await backendPid(other)
    const waiting = begin('concurrent', { by: other })
    await whenBlocked(observer, pid)
    await client.query('COMMIT')
    expect(await waiting).toEqual({ ...first, attempt: 2 })
  })

  test('get the result, where the first one does it', async () => {
    await client.query('BEGIN')
    await begin('done meanwhile')
    const pid = await backendPid(other)
    const waiting = begin('done meanwhile', { by: other })
    await whenBlocked(observer, pid)
    await finish('done meanwhile', 42)
    await client.query('COMMIT')
    expect(await waiting).toMatchObject({ state: 'done', result: 42, attempt: 1 })
  })

  test('are one, where the first one rolls back', async () => {
    await client.query('BEGIN')
    const first = await begin('rolled back')
    const pid = await backendPid(other)
    const waiting = begin('rolled back', { by: other })
    await whenBlocked(observer, pid)
    await client.query('ROLLBACK')
    const second = await waiting
    expect(second).toMatchObject({ state: 'begun', attempt: 1 })
    expect(second.idempotency_key).not.toBe(first.idempotency_key)
  })
})

describe('prune_operations', () => {
  test('removes what was settled that long ago, and never what is begun', async () => {
    const lease = 'pruned'
    const as = await grantTo(client, lease, 'ada', '1 hour')
    for (const key of ['old done', 'old failed', 'old begun', 'new done']) await begin(key, { as, lease })
    await finish('old done', 1, as, lease)
    await fail('old failed', 1, as, lease)
    await finish('new done', 1, as, lease)
    await client.query(`UPDATE elect.operations SET begun_at = begun_at - interval '9 days', settled_at = settled_at - interval '9 days'
      WHERE lease = 'pruned' AND operation_key LIKE 'old %'`)
    expect(await scalar(client, "SELECT elect.prune_operations('10 days')::int")).toBe(0)
    expect(await scalar(client, "SELECT elect.prune_operations('8 days')::int")).toBe(2)
    const left = "SELECT operation_key AS key FROM elect.operations WHERE lease = 'pruned' ORDER BY 1"
    expect((await rowsOf(client, left)).map(({ key }) => key)).toEqual(['new done', 'old begun'])
    await client.query("SELECT elect.prune_operations('0 seconds')")
    expect((await rowsOf(client, left)).map(({ key }) => key)).toEqual(['old begun'])
  })

  test.each(['-1 seconds', '101 years', null])('refuses %s', async (age) => {
    const { code, message } = await failureOf(client.query('SELECT elect.prune_operations($1)', [age]))
    expect(code).toBe('22023')
    expect(message).toMatch(/^Invalid older_than: expected 0 seconds to 100 years, got /)
  })
})

describe('bad arguments are 22023', () => {
  const huge = `to_jsonb(repeat('x', 262143))`
  test.each([
    ["begin_operation('', 1, 'x')", /^Invalid lease name: .*got 0 bytes/],
    ["begin_operation(null, 1, 'x')", /^Invalid lease name: .*got null/],
    ["begin_operation('billing', 0, 'x')", /^Invalid token: .*got 0/],
    ["begin_operation('billing', null, 'x')", /^Invalid token: .*got null/],
    ["begin_operation('billing', $, '')", /^Invalid operation_key: expected 1 to 500 bytes, got 0 bytes/],
    ["begin_operation('billing', $, null)", /^Invalid operation_key: .*got null/],
    ["begin_operation('billing', $, repeat('x', 501))", /^Invalid operation_key: .*got 501 bytes/],
    ["begin_operation('billing', $, 'x', null)", /^Invalid retry_failed/],
    ["finish_operation('billing', $, '')", /^Invalid operation_key/],
    [
      `finish_operation('billing', $, 'x', ${huge})`,
      /^Invalid result: expected at most 262144 bytes of JSON, got 262145/,
    ],
    ["fail_operation('billing', $, null)", /^Invalid operation_key/],
    [
      `fail_operation('billing', $, 'x', ${huge})`,
      /^Invalid error: expected at most 262144 bytes of JSON, got 262145/,
    ],
  ])('%s', async (call, message) => {
    const failure = await failureOf(client.query(`SELECT elect.${call.replace('$', String(token))}`))
    expect({ code: failure.code, message: failure.message }).toEqual({
      code: '22023',
      message: expect.stringMatching(message),
    })
  })

  test('in a transaction that is guarded already, too', async () => {
    for (const [call, message] of [
      [`begin_operation('billing', null, 'x')`, /^Invalid token/],
      [`begin_operation('', ${token}, 'x')`, /^Invalid lease name/],
    ] as const) {
      await inTransaction(client, async () => {
        await guard(client, 'billing', token)
        const failure = await failureOf(client.query(`SELECT elect.${call}`))
        expect({ code: failure.code, message: failure.message }).toEqual({
          code: '22023',
          message: expect.stringMatching(message),
        })
      })
    }
  })

  test('but a result of the largest size is stored', async () => {
    await begin('large')
    await client.query(
      `SELECT elect.finish_operation('billing', $1, 'large', to_jsonb(repeat('x', 262142)))`,
      [token],
    )
    expect(String((await begin('large')).result)).toHaveLength(262_142)
  })
})
