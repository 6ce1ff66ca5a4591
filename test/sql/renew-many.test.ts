import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import {
  acquire,
  failureOf,
  type Grant,
  grantColumns,
  grantTo,
  inTransaction,
  nobodyKnown,
  rowsOf,
  scalar,
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
  await one.query("SET lock_timeout = '2s'")
})

function renewAll(
  client: pg.Client,
  leases: readonly (readonly [name: string, token: number])[],
  ttl: string | null = null,
): Promise<(Grant & { name: string })[]> {
  const text = `SELECT name, ${grantColumns} FROM elect.renew_leases(names => $1, tokens => $2, ttl => $3)`
  return rowsOf(client, text, [leases.map(([name]) => name), leases.map(([, token]) => token), ttl])
}

test('many leases are renewed by one statement', async () => {
  const leases: [string, number][] = []
  for (let index = 0; index < 50; index += 1) {
    leases.push([`beat ${index}`, await grantTo(one, `beat ${index}`, 'ada')])
  }
  const renewals = await renewAll(one, leases, '1 minute')
  expect(renewals).toEqual(
    leases.map(([name, token]) => ({
      name,
      granted: true,
      holder: 'ada',
      token,
      version: token + 1,
      metadata: null,
      expiresInMs: 60_000,
    })),
  )
  const text = "SELECT count(DISTINCT xmin::text)::int FROM elect.leases WHERE name LIKE 'beat %'"
  expect(await scalar(one, text)).toBe(1)
})

test.each([1, 2])(
  'names that compare by rules of their own are taken bytewise, of %s at once',
  async (count) => {
    const leases: [string, number][] = []
    for (let index = 0; index < count; index += 1) {
      leases.push([`collated ${index}`, await grantTo(one, `collated ${index}`, 'ada')])
    }
    const text = `SELECT granted FROM (SELECT array_agg(n COLLATE "POSIX") AS names FROM unnest($1::text[]) AS u (n)) AS asked,
    elect.renew_leases(asked.names || ARRAY['no such'], $2::bigint[] || 1::bigint)`
    const answers = await rowsOf(one, text, [leases.map(([name]) => name), leases.map(([, token]) => token)])
    expect(answers).toEqual([...leases.map(() => ({ granted: true })), { granted: false }])
    const alone = `SELECT granted FROM (SELECT ARRAY[$1 COLLATE "POSIX"] AS names) AS asked, elect.renew_leases(asked.names, ARRAY[$2::bigint])`
    expect(await rowsOf(one, alone, leases[0])).toEqual([{ granted: true }])
  },
)

test('the answers come in the order of the question, each for itself', async () => {
  const renewed = await grantTo(one, 'm renewed', 'ada', '7 seconds')
  const expired = await grantTo(one, 'z expired', 'ada', '100 milliseconds')
  const old = await grantTo(one, 'a overtaken', 'ada', '100 milliseconds')
  await untilExpired(one, 'z expired', 'a overtaken')
  await acquire(other, 'a overtaken', 'bob', '1 hour', { url: 'http://bob' })
  const question = [
    ['z expired', expired],
    ['m renewed', renewed],
    ['never was', renewed],
    ['a overtaken', old],
    ['m renewed', renewed + 1],
  ] as const
  const answers = await renewAll(one, question)
  expect(answers).toEqual([
    { name: 'z expired', ...nobodyKnown },
    expect.objectContaining({ name: 'm renewed', granted: true, token: renewed, expiresInMs: 7000 }),
    { name: 'never was', ...nobodyKnown },
    expect.objectContaining({
      name: 'a overtaken',
      granted: false,
      holder: 'bob',
      metadata: { url: 'http://bob' },
    }),
    expect.objectContaining({ name: 'm renewed', granted: false, holder: 'ada', token: renewed }),
  ])
})

test('a lease asked for twice is answered twice', async () => {
  const token = await grantTo(one, 'twice', 'ada')
  const twice = ['twice', token] as const
  const answers = await renewAll(one, [twice, ['thrice', token], twice])
  expect(answers.map(({ granted }) => granted)).toEqual([true, false, true])
  expect(answers.map(({ version }) => version)).toEqual([token + 1, null, token + 2])
})

test('a lease that another transaction is at is passed over, and says nothing; the others are renewed', async () => {
  const names = ['free', 'locked', 'free too']
  const leases: [string, number][] = []
  for (const name of names) leases.push([name, await grantTo(one, name, 'ada', '1 hour')])
  await inTransaction(other, async () => {
    await other.query("SELECT FROM elect.leases WHERE name = 'locked' FOR UPDATE")
    expect((await renewAll(one, leases)).map(({ granted }) => granted)).toEqual([true, null, true])
  })
  const [, token] = leases[1] ?? ['', 0]
  expect((await stored(one, 'locked')).version).toBe(token)
  expect((await renewAll(one, leases)).map(({ granted }) => granted)).toEqual([true, true, true])
})

test('a lease that is passed over after its expiry is refused', async () => {
  const token = await grantTo(one, 'locked and gone', 'ada', '100 milliseconds')
  await untilExpired(one, 'locked and gone')
  await inTransaction(other, async () => {
    await other.query("SELECT FROM elect.leases WHERE name = 'locked and gone' FOR UPDATE")
    expect(await renewAll(one, [['locked and gone', token]])).toMatchObject([{ granted: false }])
  })
})

test('a renewal never shortens what was promised, and repeats the ttl of each lease', async () => {
  const long = await grantTo(one, 'long', 'ada', '1 hour')
  const short = await grantTo(one, 'short', 'ada', '5 seconds')
  const { expires_at } = await stored(one, 'long')
  const leases = [
    ['long', long],
    ['short', short],
  ] as const
  expect(await renewAll(one, leases, '1 minute')).toMatchObject([{ granted: true }, { granted: true }])
  expect(await stored(one, 'long')).toMatchObject({ expires_at, ttl: '00:01:00' })
  expect(await stored(one, 'short')).toMatchObject({ given: '00:01:00', ttl: '00:01:00' })
  await renewAll(one, leases)
  expect((await stored(one, 'short')).given).toBe('00:01:00')
})

test.each([
  ['one', ['transaction']],
  ['many', ['transaction 1', 'transaction 2']],
])('the clock is read after the start of the transaction: %s', async (_, names) => {
  const leases: [string, number][] = []
  for (const name of names) leases.push([name, await grantTo(one, name, 'ada', '300 milliseconds')])
  await inTransaction(one, async () => {
    expect((await renewAll(one, leases)).map(({ granted }) => granted)).toEqual(names.map(() => true))
    await untilExpired(one, ...names)
    expect((await renewAll(one, leases)).map(({ granted }) => granted)).toEqual(names.map(() => false))
  })
})

test('one alone is passed over while another transaction is at it, and answered for itself', async () => {
  const token = await grantTo(one, 'alone', 'ada', '1 hour')
  await inTransaction(other, async () => {
    await other.query("SELECT FROM elect.leases WHERE name = 'alone' FOR UPDATE")
    expect(await renewAll(one, [['alone', token]])).toMatchObject([{ name: 'alone', granted: null }])
  })
  expect(await renewAll(one, [['alone', token]], '2 hours')).toMatchObject([
    { name: 'alone', granted: true, holder: 'ada', token, version: token + 1, expiresInMs: 7_200_000 },
  ])
  expect(await renewAll(one, [['alone', token + 1]])).toMatchObject([
    { granted: false, holder: 'ada', token },
  ])
})

test('nothing is renewed where nothing is asked for', async () => {
  expect(await renewAll(one, [])).toEqual([])
})

test('one bad argument spoils the call, and then none is renewed', async () => {
  const token = await grantTo(one, 'spoilt', 'ada')
  const failure = await failureOf(
    renewAll(one, [
      ['spoilt', token],
      ['', token],
    ]),
  )
  expect(failure.code).toBe('22023')
  expect((await stored(one, 'spoilt')).version).toBe(token)
})
