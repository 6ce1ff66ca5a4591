import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, inTransaction, oneRow, release, renew, rowsOf, scalar, useDatabase } from './leases.ts'
import {
  everythingStored,
  expire,
  lineOf,
  setCapacity,
  share,
  sharersOf,
  shareTo,
  standTo,
} from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

const writing = { exclusive: true }

/** Fills a semaphore with that many, and lets others stand in line behind them. */
async function fill(name: string, capacity: number, waiting: string[] = []): Promise<void> {
  for (let number = 1; number <= capacity; number += 1) {
    await shareTo(client, name, `holder ${number}`, { capacity })
  }
  for (const holder of waiting) await standTo(client, name, holder)
}

function sharedAs(name: string): Promise<unknown[]> {
  return rowsOf(client, 'SELECT capacity, held FROM elect.get_shared(name => $1)', [name])
}

describe('a semaphore', () => {
  test('is never above its capacity', async () => {
    await fill('full', 3)
    expect((await share(client, 'full', 'one more')).granted).toBe(false)
    expect(await sharedAs('full')).toEqual([{ capacity: 3, held: 3 }])
  })

  test('also not while sessions come at once', async () => {
    const sessions = await Promise.all(Array.from({ length: 10 }, () => database.connect()))
    for (let round = 0; round < 30; round += 1) {
      const name = `at once ${round}`
      const answers = await Promise.all(
        sessions.map((session, index) => share(session, name, `contender ${index}`, { capacity: 3 })),
      )
      expect(answers.filter(({ granted }) => granted)).toHaveLength(3)
      expect(await sharersOf(client, name)).toHaveLength(3)
    }
  })

  test('counts no share that has run out', async () => {
    const { lease } = await shareTo(client, 'run out', 'ada', { capacity: 1 })
    await expire(client, lease)
    expect(await sharedAs('run out')).toEqual([{ capacity: 1, held: 0 }])
    await shareTo(client, 'run out', 'bob')
  })

  test('keeps the capacity of the first call', async () => {
    await shareTo(client, 'first call', 'ada', { capacity: 2 })
    await shareTo(client, 'first call', 'bob', { capacity: 9 })
    expect((await share(client, 'first call', 'eve', { capacity: null })).granted).toBe(false)
    expect(await sharedAs('first call')).toEqual([{ capacity: 2, held: 2 }])
  })

  test('one that is exclusive fits beside nobody, whatever the capacity', async () => {
    const { lease, token } = await shareTo(client, 'exclusive', 'ada', { capacity: 3 })
    expect((await share(client, 'exclusive', 'bob', writing)).granted).toBe(false)
    await release(client, lease, token)
    await shareTo(client, 'exclusive', 'bob', writing)
    expect((await share(client, 'exclusive', 'eve')).granted).toBe(false)
  })

  test('that was never used is unknown', async () => {
    expect(await sharedAs('never used')).toEqual([])
  })
})

describe('set_capacity', () => {
  test('up: admits the first in line, and no more than fit', async () => {
    await fill('up', 1, ['a', 'b', 'c'])
    await setCapacity(client, 'up', 3)
    expect(await sharersOf(client, 'up')).toEqual(['holder 1', 'a', 'b'])
    expect(await lineOf(client, 'up')).toEqual(['c'])
    expect(await sharedAs('up')).toEqual([{ capacity: 3, held: 3 }])
  })

  test('up: nobody passes one that waits to be alone', async () => {
    await fill('up, alone', 1)
    await standTo(client, 'up, alone', 'writer', writing)
    await standTo(client, 'up, alone', 'a')
    await setCapacity(client, 'up, alone', 5)
    expect(await sharersOf(client, 'up, alone')).toEqual(['holder 1'])
  })

  test('to any number: admits all', async () => {
    await fill('all', 1, ['a', 'b', 'c'])
    await setCapacity(client, 'all', null)
    expect(await sharersOf(client, 'all')).toEqual(['holder 1', 'a', 'b', 'c'])
    expect(await sharedAs('all')).toEqual([{ capacity: null, held: 4 }])
  })

  test('down: takes nothing away, and lets nobody in until enough have gone', async () => {
    const name = 'down'
    const shares = []
    for (const holder of ['a', 'b', 'c']) shares.push(await shareTo(client, name, holder, { capacity: 3 }))
    await standTo(client, name, 'd')
    await setCapacity(client, name, 1)
    for (const { lease, token } of shares) expect((await renew(client, lease, token)).granted).toBe(true)
    expect(await sharedAs(name)).toEqual([{ capacity: 1, held: 3 }])
    const held = []
    for (const { lease, token } of shares) {
      await release(client, lease, token)
      held.push(await sharersOf(client, name))
    }
    expect(held).toEqual([['b', 'c'], ['c'], ['d']])
  })

  test('0: no new ones, also none that is exclusive', async () => {
    const { lease, token } = await shareTo(client, 'none', 'a', { capacity: 2 })
    await setCapacity(client, 'none', 0)
    expect((await share(client, 'none', 'b')).granted).toBe(false)
    await standTo(client, 'none', 'c', writing)
    await release(client, lease, token)
    expect(await sharersOf(client, 'none')).toEqual([])
    expect((await share(client, 'none', 'c', writing)).granted).toBe(false)
    expect((await share(client, 'none', 'd', writing)).granted).toBe(false)
    await setCapacity(client, 'none', 1)
    expect(await sharersOf(client, 'none')).toEqual(['c'])
  })

  test('0 from the first call on', async () => {
    expect((await share(client, 'none yet', 'a', { capacity: 0 })).granted).toBe(false)
    expect(await sharedAs('none yet')).toEqual([{ capacity: 0, held: 0 }])
  })

  test('goes before the first share', async () => {
    await setCapacity(client, 'before', 1)
    await shareTo(client, 'before', 'a', { capacity: 5 })
    expect((await share(client, 'before', 'b')).granted).toBe(false)
  })

  test('takes effect as its transaction commits', async () => {
    await fill('commits', 1, ['a'])
    await inTransaction(client, () => setCapacity(client, 'commits', 2))
    expect(await sharersOf(client, 'commits')).toEqual(['holder 1'])
    await setCapacity(client, 'commits', 2)
    expect(await sharersOf(client, 'commits')).toEqual(['holder 1', 'a'])
  })

  test('frees the room of those that have run out', async () => {
    const { lease } = await shareTo(client, 'swept', 'dead', { capacity: 1 })
    await standTo(client, 'swept', 'a')
    await expire(client, lease)
    await setCapacity(client, 'swept', 1)
    expect(await sharersOf(client, 'swept')).toEqual(['a'])
  })
})

describe('a refusal of one that only tries', () => {
  test('writes no row, takes no lock and no transaction id', async () => {
    await fill('quiet', 2)
    const before = await everythingStored(client)
    await inTransaction(other, async () => {
      const refusal = await share(other, 'quiet', 'eve')
      expect(refusal).toMatchObject({ granted: false, holder: 'holder 1', rank: null })
      expect(await scalar(other, 'SELECT pg_current_xact_id_if_assigned()')).toBeNull()
      const locks = await rowsOf(
        other,
        `SELECT DISTINCT locktype, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'`,
      )
      expect(locks).toEqual([{ locktype: 'relation', mode: 'AccessShareLock' }])
    })
    expect(await everythingStored(client)).toEqual(before)
  })

  test('works in a transaction that may not write, and beside one that is at it', async () => {
    await fill('read only', 1)
    await inTransaction(client, async () => {
      await setCapacity(client, 'read only', 2)
      const refusal = inTransaction(other, () => share(other, 'read only', 'eve'), 'BEGIN READ ONLY')
      expect(await refusal).toMatchObject({ granted: false, holder: 'holder 1' })
    })
  })

  test('so it is where a writer has it', async () => {
    await shareTo(client, 'writer', 'ada', writing)
    const before = await everythingStored(client)
    for (const exclusive of [true, false]) {
      expect((await share(other, 'writer', 'eve', { exclusive })).granted).toBe(false)
    }
    expect(await everythingStored(client)).toEqual(before)
  })
})

describe('bad arguments are refused with 22023, and nothing is written', () => {
  const name = 'Invalid name: expected 1 to 180 bytes, got'
  const text = (argument: string) => `Invalid ${argument}: expected 1 to 500 bytes, got`
  const count = (argument: string, least: number) =>
    `Invalid ${argument}: expected a number from ${least} to 1000000, got`
  const ttl = 'Invalid ttl: expected 100 milliseconds to 24 hours without months, got'
  const badNames = [
    "acquire_share($, 'bob')",
    'set_capacity($, 1)',
    'get_shares($)',
    'get_shared($)',
    "enter_barrier($, 'bob', 2)",
    "get_assignment($, 4, 'bob')",
  ].flatMap((call) => [
    [call.replace('$', "''"), `${name} 0 bytes`],
    [call.replace('$', 'null'), `${name} null`],
    [call.replace('$', "repeat('x', 181)"), `${name} 181 bytes`],
  ])
  const badHolders = [
    ["acquire_share('new', $)", 'holder'],
    ["enter_barrier('new', $, 2)", 'holder'],
    ["get_assignment('new', 4, $)", 'member'],
  ].flatMap(([call = '', argument = '']) => [
    [call.replace('$', "''"), `${text(argument)} 0 bytes`],
    [call.replace('$', 'null'), `${text(argument)} null`],
    [call.replace('$', "repeat('x', 501)"), `${text(argument)} 501 bytes`],
  ])
  const badOthers = [
    ["acquire_share('new', 'bob', capacity => -1)", `${count('capacity', 0)} -1`],
    ["acquire_share('new', 'bob', capacity => 1000001)", `${count('capacity', 0)} 1000001`],
    ["set_capacity('new', -1)", `${count('capacity', 0)} -1`],
    ["set_capacity('new', 1000001)", `${count('capacity', 0)} 1000001`],
    ["enter_barrier('new', 'bob', 0)", `${count('parties', 1)} 0`],
    ["enter_barrier('new', 'bob', null)", `${count('parties', 1)} null`],
    ["get_assignment('new', 0, 'bob')", `${count('partitions', 1)} 0`],
    ["get_assignment('new', null, 'bob')", `${count('partitions', 1)} null`],
    ["acquire_share('new', 'bob', exclusive => null)", 'Invalid exclusive: expected true or false, got null'],
    ["acquire_share('new', 'bob', wait => null)", 'Invalid wait: expected true or false, got null'],
    ["acquire_share('new', 'bob', ttl => null)", `${ttl} null`],
    ["acquire_share('new', 'bob', ttl => '1 mon')", `${ttl} 1 mon`],
    ["enter_barrier('new', 'bob', 2, ttl => '1 ms')", `${ttl} 00:00:00.001`],
    [
      "acquire_share('new', 'bob', metadata => to_jsonb(repeat('x', 4095)))",
      'Invalid metadata: expected at most 4096 bytes of JSON, got 4097',
    ],
  ]

  test.each([...badNames, ...badHolders, ...badOthers])('%s', async (call = '', message = '') => {
    const before = await everythingStored(client)
    const failure = await failureOf(client.query(`SELECT * FROM elect.${call}`))
    expect({ code: failure.code, message: failure.message }).toEqual({ code: '22023', message })
    expect(await everythingStored(client)).toEqual(before)
  })

  test('the limits themselves are fine', async () => {
    const longest = { name: 'n'.repeat(180), holder: 'h'.repeat(500) }
    const { lease } = await shareTo(client, longest.name, longest.holder, { capacity: 1_000_000 })
    expect(lease.length).toBeLessThanOrEqual(200)
    await setCapacity(client, longest.name, 1_000_000)
    const row = await oneRow<{ lease: string }>(
      client,
      'SELECT lease FROM elect.get_assignment($1, 1, $2)',
      Object.values(longest),
    )
    expect(row.lease).toBe(`${longest.name}/0`)
  })
})
