import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  failureOf,
  grantTo,
  guard,
  inTransaction,
  release,
  rowsOf,
  sqlStateOf,
  transfer,
  useDatabase,
} from './leases.ts'
import { Ledger } from './ledger.ts'

const database = useDatabase()
let client: pg.Client
let token: number
let stale: Ledger
let current: Ledger

beforeAll(async () => {
  client = await database.connect()
  token = await grantTo(client, 'billing', 'ada', '1 hour')
  stale = new Ledger(client, 'stale', await grantTo(client, 'stale', 'ada', '1 hour'))
  await stale.begin('begun')
  current = new Ledger(client, 'stale', Number((await transfer(client, 'stale', stale.token, 'bob')).token))
})

beforeEach(async () => {
  await client.query('ROLLBACK')
})

/** The whole ledger, with the place and the writer of each row. */
function tableAsIs(): Promise<unknown[]> {
  return rowsOf(client, 'SELECT ctid, xmin, o.* FROM elect.operations o ORDER BY lease, operation_key')
}

describe('LE001 is said, and nothing written,', () => {
  const steps: [string, (by: Ledger) => Promise<unknown>][] = [
    ['begin_operation', (by) => by.begin('begun')],
    ['begin_operation of a new one', (by) => by.begin('new')],
    ['finish_operation', (by) => by.finish('begun', 1)],
    ['fail_operation', (by) => by.fail('begun', 1)],
  ]

  test.each(steps)('by %s with a stale or an unknown token', async (_name, step) => {
    const before = await tableAsIs()
    expect(await sqlStateOf(step(stale))).toBe('LE001')
    expect(await sqlStateOf(step(new Ledger(client, 'stale', current.token + 1)))).toBe('LE001')
    expect(await tableAsIs()).toEqual(before)
  })

  test.each(steps)('by %s in a transaction that claims to carry the stale token', async (_name, step) => {
    const before = await tableAsIs()
    await inTransaction(client, async () => {
      await client.query(`SELECT set_config('elect.tokens', $1, true)`, [
        JSON.stringify({ stale: stale.token }),
      ])
      expect(await sqlStateOf(step(stale))).toBe('LE001')
    })
    expect(await tableAsIs()).toEqual(before)
  })

  test.each(steps)('by %s with it in a transaction guarded by the current one', async (_name, step) => {
    const before = await tableAsIs()
    await inTransaction(client, async () => {
      await guard(client, 'stale', current.token)
      expect(await sqlStateOf(step(stale))).toBe('LE001')
    })
    expect(await tableAsIs()).toEqual(before)
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'or 40001, at %s with a snapshot of before',
    async (level) => {
      const name = `overtaken at ${level}`
      const old = new Ledger(client, name, await grantTo(client, name, 'ada', '1 hour'))
      const other = await database.connect()
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      await client.query('SELECT 1')
      await transfer(other, name, old.token, 'bob')
      expect(await sqlStateOf(old.begin('x'))).toBe('40001')
      await client.query('ROLLBACK')
      expect(await old.stored('x')).toEqual([])
    },
  )

  test('after a release', async () => {
    const given = new Ledger(client, 'given back', await grantTo(client, 'given back', 'ada', '1 hour'))
    await given.begin('x')
    await release(client, 'given back', given.token)
    expect(await sqlStateOf(given.finish('x', 1))).toBe('LE001')
    expect(await given.stored('x')).toMatchObject([{ state: 'begun' }])
  })
})

describe('LE003 is said', () => {
  test.each(['finish', 'fail'] as const)('by %s_operation of one that was never begun', async (settle) => {
    const { code, message, hint } = await failureOf(new Ledger(client, 'billing', token)[settle]('never'))
    expect({ code, message }).toEqual({
      code: 'LE003',
      message: `Operation never of lease billing was not begun under token ${token}`,
    })
    expect(hint).toContain('begin_operation')
  })

  test.each(['finish', 'fail'] as const)(
    'by %s_operation of one that an earlier leader began',
    async (settle) => {
      expect(await sqlStateOf(current[settle]('begun'))).toBe('LE003')
      expect(await current.stored('begun')).toMatchObject([{ state: 'begun', token: stale.token }])
    },
  )
})

describe('a bad argument is 22023', () => {
  const huge = `to_jsonb(repeat('x', 262143))`
  test.each([
    ["begin_operation('', 1, 'x')", /^Invalid lease name: .*got 0 bytes/],
    ["begin_operation(null, 1, 'x')", /^Invalid lease name: .*got null/],
    ["begin_operation('billing', 0, 'x')", /^Invalid token: .*got 0/],
    ["begin_operation('billing', null, 'x')", /^Invalid token: .*got null/],
    ["begin_operation('billing', $, '')", /^Invalid operation_key: expected 1 to 500 bytes, got 0 bytes/],
    ["begin_operation('billing', $, null)", /^Invalid operation_key: .*got null/],
    ["begin_operation('billing', $, repeat('x', 501))", /^Invalid operation_key: .*got 501 bytes/],
    ["finish_operation('billing', $, '')", /^Invalid operation_key/],
    ["finish_operation('billing', null, 'x')", /^Invalid token/],
    [`finish_operation('billing', $, 'x', ${huge})`, /^Invalid result: .* 262144 bytes of JSON, got 262145/],
    ["fail_operation('billing', $, null)", /^Invalid operation_key/],
    ["fail_operation('', 1, 'x')", /^Invalid lease name/],
    [`fail_operation('billing', $, 'x', ${huge})`, /^Invalid error: .* 262144 bytes of JSON, got 262145/],
  ])('%s', async (call, message) => {
    const before = await tableAsIs()
    const failure = await failureOf(client.query(`SELECT elect.${call.replace('$', String(token))}`))
    expect({ code: failure.code, message: failure.message }).toEqual({
      code: '22023',
      message: expect.stringMatching(message),
    })
    expect(await tableAsIs()).toEqual(before)
  })

  test('but a key and a result of the largest size are stored', async () => {
    const billing = new Ledger(client, 'billing', token)
    const key = 'k'.repeat(500)
    await billing.begin(key)
    await billing.finish(key, 'x'.repeat(262_142))
    expect((await billing.begin(key)).result).toBe('x'.repeat(262_142))
  })
})
