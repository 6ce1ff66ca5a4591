import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  guard,
  release,
  renew,
  rowsOf,
  scalar,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'
import { type Announcement, Listener } from './listener.ts'

const database = useDatabase()
let client: pg.Client
/** Listens to the channel of all leases, and to whatever a test adds. */
let ears: pg.Client
let listener: Listener

beforeAll(async () => {
  client = await database.connect()
  ears = await database.connect()
  await ears.query('LISTEN elect')
  listener = new Listener(ears)
})

beforeEach(async () => {
  await listener.heard()
})

/** What was told on the channel of all since this was asked last. */
async function told(): Promise<Announcement[]> {
  return (await listener.heard()).get('elect') ?? []
}

describe('a change of holder is told once', () => {
  test('granted', async () => {
    const token = await grantTo(client, 'granted', 'ada')
    expect(await told()).toEqual([
      { event: 'granted', name: 'granted', holder: 'ada', token, previous_holder: null },
    ])
  })

  test('released', async () => {
    const token = await grantTo(client, 'released', 'ada')
    await release(client, 'released', token)
    expect((await told()).slice(1)).toEqual([
      { event: 'released', name: 'released', holder: null, token, previous_holder: 'ada' },
    ])
  })

  test('transferred', async () => {
    const first = await grantTo(client, 'transferred', 'ada')
    const { token } = await transfer(client, 'transferred', first, 'bob')
    expect((await told()).slice(1)).toEqual([
      { event: 'transferred', name: 'transferred', holder: 'bob', token, previous_holder: 'ada' },
    ])
  })

  test('forced', async () => {
    const token = await grantTo(client, 'forced', 'ada')
    await client.query("SELECT elect.force_release('forced', 'a test')")
    expect((await told()).slice(1)).toEqual([
      { event: 'forced', name: 'forced', holder: null, token, previous_holder: 'ada' },
    ])
  })

  test('expired, by the one who takes over', async () => {
    await grantTo(client, 'expired', 'ada', '100 milliseconds')
    await untilExpired(client, 'expired')
    expect(await told()).toHaveLength(1)
    const token = await grantTo(client, 'expired', 'bob')
    expect(await told()).toEqual([
      { event: 'expired', name: 'expired', holder: 'bob', token, previous_holder: 'ada' },
    ])
  })

  test('by compare_and_swap as well', async () => {
    await swap(client, 'swapped', 'a', null)
    await swap(client, 'swapped', 'b', 'a')
    await swap(client, 'swapped', null, 'b')
    await swap(client, 'swapped', 'c', null, '100 milliseconds')
    await untilExpired(client, 'swapped')
    await swap(client, 'swapped', 'd', null)
    expect((await told()).map((each) => [each.event, each.holder, each.previous_holder])).toEqual([
      ['granted', 'a', null],
      ['transferred', 'b', 'a'],
      ['released', null, 'b'],
      ['granted', 'c', null],
      ['expired', 'd', 'c'],
    ])
  })

  test('at the commit, in the order of the changes', async () => {
    await client.query('BEGIN')
    const token = await grantTo(client, 'ordered', 'ada')
    await release(client, 'ordered', token)
    expect(await told()).toEqual([])
    await client.query('COMMIT')
    expect((await told()).map(({ event }) => event)).toEqual(['granted', 'released'])
  })

  test('with a name and a holder of the greatest length and the worst characters', async () => {
    const [name, holder] = ['\u0001'.repeat(200), '\u0001'.repeat(500)]
    const token = await grantTo(client, name, holder)
    await transfer(client, name, token, '\u0002'.repeat(500))
    expect((await told()).map((each) => [each.event, each.name, each.previous_holder])).toEqual([
      ['granted', name, null],
      ['transferred', name, holder],
    ])
  })
})

describe('nothing is told', () => {
  test('by renewals, retries, guards and swaps to the same value', async () => {
    const token = await grantTo(client, 'renewed', 'ada')
    await told()
    await renew(client, 'renewed', token)
    await client.query("SELECT elect.renew_leases('{renewed}', ARRAY[$1::bigint])", [token])
    await acquire(client, 'renewed', 'ada')
    await guard(client, 'renewed', token)
    await swap(client, 'renewed', 'ada', 'ada')
    expect(await told()).toEqual([])
  })

  test('by refusals', async () => {
    const token = await grantTo(client, 'refused', 'ada')
    await told()
    await acquire(client, 'refused', 'bob')
    await renew(client, 'refused', token + 1)
    await release(client, 'refused', token + 1)
    await transfer(client, 'refused', token + 1, 'bob')
    await swap(client, 'refused', 'eve', 'bob')
    await client.query("SELECT elect.force_release('vacant', 'a test')")
    await swap(client, 'vacant', null, null)
    expect(await told()).toEqual([])
  })

  test('by what is rolled back', async () => {
    await client.query('BEGIN')
    await grantTo(client, 'undone', 'ada')
    await client.query('ROLLBACK')
    expect(await told()).toEqual([])
  })

  test('by expiry itself, and by a prune', async () => {
    await grantTo(client, 'quiet', 'ada', '100 milliseconds')
    await told()
    await untilExpired(client, 'quiet')
    await client.query("SELECT elect.prune_leases('0 seconds')")
    expect(await told()).toEqual([])
  })
})

describe('the channel of one lease', () => {
  const channelOf = (name: string) => scalar<string>(client, 'SELECT elect.lease_channel($1)', [name])

  test('is told what the channel of all is told, and nothing of other leases', async () => {
    const names = ['watched', 'watched too']
    const channels = await rowsOf(ears, 'SELECT name, channel FROM elect.listen($1)', [names])
    expect(channels).toEqual([
      { name: 'watched', channel: await channelOf('watched') },
      { name: 'watched too', channel: await channelOf('watched too') },
    ])
    await release(client, 'watched', await grantTo(client, 'watched', 'ada'))
    await grantTo(client, 'not watched', 'ada')
    const heard = await listener.heard()
    expect(heard.get('elect')).toHaveLength(3)
    expect(heard.get(await channelOf('watched'))).toEqual(heard.get('elect')?.slice(0, 2))
    expect(heard.has(await channelOf('watched too'))).toBe(false)

    await ears.query('SELECT elect.unlisten($1)', [['watched']])
    await grantTo(client, 'watched', 'bob')
    await grantTo(client, 'watched too', 'bob')
    const later = await listener.heard()
    expect(later.has(await channelOf('watched'))).toBe(false)
    expect(later.get(await channelOf('watched too'))).toHaveLength(1)
  })

  test('has a name of its own that fits a channel, also for the longest names', async () => {
    const names = ['a', 'A', 'ä'.repeat(100), `${'ä'.repeat(99)}a`, 'it\'s; "odd"']
    const channels: string[] = []
    for (const name of names) channels.push(await channelOf(name))
    expect(new Set(channels).size).toBe(names.length)
    for (const channel of channels) expect(channel).toMatch(/^elect_[0-9a-f]{1,16}$/)
    await ears.query('SELECT * FROM elect.listen($1)', [names])
  })

  test('is not listened to where one of the names is bad', async () => {
    await expect(ears.query('SELECT * FROM elect.listen($1)', [['fine', '']])).rejects.toThrow(
      /Invalid lease name/,
    )
    const listening = await rowsOf(ears, 'SELECT pg_listening_channels() AS channel')
    expect(listening).not.toContainEqual({ channel: await channelOf('fine') })
  })
})
