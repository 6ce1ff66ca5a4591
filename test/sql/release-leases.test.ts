import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { grantAllTo, releaseAll } from './batches.ts'
import {
  acquire,
  failureOf,
  grantTo,
  guard,
  holderOf,
  inTransaction,
  release,
  rowsOf,
  scalar,
  stored,
  untilExpired,
  useDatabase,
} from './leases.ts'
import { candidacy, standAll } from './line.ts'
import { Listener } from './listener.ts'

const database = useDatabase()
let one: pg.Client
let other: pg.Client
let round = 0

beforeAll(async () => {
  one = await database.connect()
  other = await database.connect()
  // A wait fails, instead of leaving it to the time limit of the test.
  await one.query("SET statement_timeout = '5s'")
})

beforeEach(() => {
  round += 1
})

const named = (name: string) => `${name}, ${round}`

describe('many leases in one call', () => {
  test('are vacant at once; tokens stay, versions grow, metadata goes', async () => {
    const names = ['b', 'c', 'a'].map(named)
    const tokens = await grantAllTo(one, names, 'ada')
    expect(
      await releaseAll(
        one,
        names.map((name, place) => [name, tokens[place] as number]),
      ),
    ).toEqual([true, true, true])
    for (const [place, name] of names.entries()) {
      const token = tokens[place] as number
      expect(await stored(one, name)).toMatchObject({
        holder: null,
        token,
        version: token + 1,
        metadata: null,
      })
      expect((await acquire(other, name, 'bob')).granted).toBe(true)
    }
  })

  test('are each given back for themselves: what is not held with that token is not', async () => {
    const names = ['held', 'expired', 'overtaken', 'released'].map(named)
    const [held = 0] = await grantAllTo(one, [named('held')], 'ada')
    const expired = await grantTo(one, named('expired'), 'ada', '100 milliseconds')
    const overtaken = await grantTo(one, named('overtaken'), 'ada', '100 milliseconds')
    const released = await grantTo(one, named('released'), 'ada')
    await release(one, named('released'), released)
    await untilExpired(one, named('expired'), named('overtaken'))
    await grantTo(one, named('overtaken'), 'bob', '1 hour')
    const before = await stored(one, named('expired'))
    const tokens = [held, expired, overtaken, released]
    const asked = names.map((name, place) => [name, tokens[place] as number] as const)
    expect(await releaseAll(one, [...asked, [named('never was'), 1], [named('held'), held]])).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ])
    expect(await holderOf(one, named('overtaken'))).toBe('bob')
    expect(await stored(one, named('expired'))).toEqual(before)
  })

  test('that have expired are not given back, though nobody has taken them', async () => {
    const names = ['a', 'b'].map(named)
    const tokens = await grantAllTo(one, names, 'ada', '100 milliseconds')
    await untilExpired(one, ...names)
    const asked = names.map((name, place) => [name, tokens[place] as number] as const)
    const before = await stored(one, named('a'))
    expect(await releaseAll(one, asked)).toEqual([false, false])
    expect(await stored(one, named('a'))).toEqual(before)
  })

  test('none', async () => {
    expect(await releaseAll(one, [])).toEqual([])
  })

  test('are told on both channels of each', async () => {
    const client = await database.connect()
    const listener = new Listener(client)
    const names = ['a', 'b'].map(named)
    const tokens = await grantAllTo(one, names, 'ada "q"')
    const channel = await scalar<string>(one, 'SELECT elect.lease_channel($1)', [names[1]])
    for (const name of ['elect', channel]) await client.query(`LISTEN ${name}`)
    await releaseAll(
      one,
      names.map((name, place) => [name, tokens[place] as number]),
    )
    const told = (place: number) => ({
      event: 'released',
      name: names[place],
      holder: null,
      token: tokens[place],
      previous_holder: 'ada "q"',
    })
    const heard = await listener.heard()
    expect(heard.get('elect')).toEqual([told(0), told(1)])
    expect(heard.get(channel)).toEqual([told(1)])
  })
})

describe('beside leases that are plainly held', () => {
  let free: readonly [string, number]
  beforeEach(async () => {
    free = [named('free'), await grantTo(one, named('free'), 'ada', '1 hour')]
  })

  test('one with a line goes to the first in it', async () => {
    const token = await grantTo(one, named('line'), 'ada', '1 hour')
    await standAll(other, named('line'), 'bob', 'cyd')
    expect(await releaseAll(one, [free, [named('line'), token]])).toEqual([true, true])
    expect(await holderOf(one, named('line'))).toBe('bob')
    expect(await candidacy(other, named('line'), 'cyd')).toMatchObject({ rank: 0 })
  })

  test('a share makes room', async () => {
    const share = (client: pg.Client, holder: string) =>
      client.query<{ lease: string; token: string }>(
        "SELECT lease, token FROM elect.acquire_share($1, $2, ttl => '1 hour')",
        [named('shared'), holder],
      )
    await one.query('SELECT elect.set_capacity($1, 1)', [named('shared')])
    const [{ lease, token } = { lease: '', token: '' }] = (await share(one, 'ada')).rows
    expect(await releaseAll(one, [[lease, Number(token)], free])).toEqual([true, true])
    expect((await share(other, 'bob')).rows[0]?.lease).toMatch(/#/)
  })

  test('one with a guarded transaction is vacant as soon as that has ended', async () => {
    const token = await grantTo(one, named('guarded'), 'ada', '1 hour')
    await inTransaction(other, async () => {
      await guard(other, named('guarded'), token)
      expect(await releaseAll(one, [[named('guarded'), token], free])).toEqual([true, true])
      expect((await acquire(one, named('guarded'), 'bob')).granted).toBe(false)
    })
    expect((await acquire(one, named('guarded'), 'bob')).granted).toBe(true)
  })

  test('one whose row another transaction has locked is left as it is: null', async () => {
    const token = await grantTo(one, named('locked'), 'ada', '1 hour')
    await inTransaction(other, async () => {
      await other.query('SELECT FROM elect.leases WHERE name = $1 FOR UPDATE', [named('locked')])
      expect(await releaseAll(one, [[named('locked'), token], free])).toEqual([null, true])
    })
    expect(await holderOf(one, named('locked'))).toBe('ada')
    expect(await releaseAll(one, [[named('locked'), token]])).toEqual([true])
  })
})

test.each(['REPEATABLE READ', 'SERIALIZABLE'])('at %s too', async (level) => {
  const names = ['a', 'b'].map((name) => `${level} ${named(name)}`)
  const tokens = await grantAllTo(one, names, 'ada')
  await one.query(`BEGIN ISOLATION LEVEL ${level}`)
  const released = await releaseAll(
    one,
    names.map((name, place) => [name, tokens[place] as number]),
  )
  await one.query('COMMIT')
  expect(released).toEqual([true, true])
})

test('two calls that overlap in opposite order do not wait for each other, and each lease is given back once', async () => {
  await other.query("SET statement_timeout = '5s'")
  const names = Array.from({ length: 60 }, (_, index) => `${named('cross')} ${index}`)
  const tokens = await grantAllTo(one, names, 'ada')
  const leases = names.map((name, place) => [name, tokens[place] as number] as const)
  const [forth, back] = await Promise.all([releaseAll(one, leases), releaseAll(other, leases.toReversed())])
  for (const [place, name] of names.entries()) {
    const answers = [forth[place], back.at(-1 - place)]
    expect(answers.filter((released) => released === true)).toHaveLength(1)
    expect(await holderOf(one, name)).toBeUndefined()
  }
})

test('does not wait for the disk where its session does not', async () => {
  const token = await grantTo(one, named('lazy'), 'ada')
  await one.query('SET synchronous_commit = off')
  await inTransaction(one, async () => {
    expect(await releaseAll(one, [[named('lazy'), token]])).toEqual([true])
    expect(await scalar(one, "SELECT current_setting('synchronous_commit')")).toBe('off')
  })
  await one.query('RESET synchronous_commit')
})

test('one bad argument spoils the call, and then none is given back', async () => {
  const token = await grantTo(one, named('spoilt'), 'ada')
  const failure = await failureOf(
    releaseAll(one, [
      [named('spoilt'), token],
      [named('x'), 0],
    ]),
  )
  expect(failure.code).toBe('22023')
  const text = 'SELECT FROM elect.release_leases($1, ARRAY[$2, null]::bigint[])'
  const withNull = await failureOf(one.query(text, [[named('spoilt'), named('x')], token]))
  expect(withNull.message).toMatch(/^Invalid token: .* got null$/)
  expect(await holderOf(one, named('spoilt'))).toBe('ada')
})

test('one that is named twice is given back once', async () => {
  const token = await grantTo(one, named('twice'), 'ada')
  const twice = [named('twice'), token] as const
  expect(await releaseAll(one, [twice, twice])).toEqual([true, false])
})

test.each<[shape: string, literal: (values: string[]) => string]>([
  ['do not count from one', (values) => `[0:1]={${values.join(',')}}`],
  ['have two dimensions', (values) => `{${values.map((value) => `{${value}}`).join(',')}}`],
])('arrays that %s are read element by element', async (_shape, literalOf) => {
  const names = ['a', 'b'].map(named)
  const tokens = [
    await grantTo(one, names[0] as string, 'ada'),
    await grantTo(one, names[1] as string, 'ada'),
  ]
  const literal = (values: (string | number)[]) => literalOf(values.map((value) => JSON.stringify(value)))
  const text = 'SELECT name, released FROM elect.release_leases($1, $2)'
  expect(await rowsOf(one, text, [literal(names), literal(tokens)])).toEqual(
    names.map((name) => ({ name, released: true })),
  )
  expect(await holderOf(one, names[0] as string)).toBeUndefined()
})
