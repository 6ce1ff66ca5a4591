import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, oneRow, release, renew, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { type Announcement, Listener } from './listener.ts'
import { everythingStored, expire, share, sharersOf, shareTo, standTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

describe('events', () => {
  test('are told on the channel of the shared lease, under its name', async () => {
    const ears = await database.connect()
    const channel = await scalar<string>(client, "SELECT elect.lease_channel('told')")
    await ears.query(`LISTEN ${channel}`)
    const listener = new Listener(ears)
    const told = async (): Promise<Announcement[]> => (await listener.heard()).get(channel) ?? []
    const event = (kind: string, holder: string | null, token: number, previous: string | null) => ({
      event: kind,
      name: 'told',
      holder,
      token,
      previous_holder: previous,
    })

    const ada = await shareTo(client, 'told', 'ada')
    expect(await told()).toEqual([event('granted', 'ada', ada.token, null)])
    await renew(client, ada.lease, ada.token)
    await share(client, 'told', 'ada')
    expect(await told()).toEqual([])

    const bob = await shareTo(client, 'told', 'bob')
    await standTo(client, 'told', 'writer', { exclusive: true })
    await release(client, ada.lease, ada.token)
    await expire(client, bob.lease)
    expect(await told()).toEqual([
      event('granted', 'bob', bob.token, null),
      event('released', null, ada.token, 'ada'),
    ])

    const writer = await shareTo(client, 'told', 'writer', { exclusive: true })
    expect(await told()).toEqual([
      event('expired', null, bob.token, 'bob'),
      event('granted', 'writer', writer.token, null),
    ])
    await client.query("SELECT elect.force_release($1, 'a test')", [writer.lease])
    expect(await told()).toEqual([event('forced', null, writer.token, 'writer')])
  })

  test('one that is handed a share is told on the channel of its session, too', async () => {
    const waiter = await database.connect()
    await waiter.query('SELECT elect.listen_here()')
    const listener = new Listener(waiter)
    const { lease, token } = await shareTo(client, 'own channel', 'ada', { exclusive: true })
    await standTo(waiter, 'own channel', 'bob')
    expect([...(await listener.heard())]).toEqual([])
    await release(client, lease, token)
    const [heard, ...others] = [...(await listener.heard()).values()].flat()
    expect(heard).toMatchObject({ event: 'granted', name: 'own channel', holder: 'bob' })
    expect(others).toEqual([])
  })
})

// Shares that look as if they were written in the future.
describe('when the clock of the server went back', () => {
  const ahead = (lease: string) =>
    client.query(
      `UPDATE elect.leases SET renewed_at = renewed_at + interval '1 day', expires_at = expires_at + interval '1 day'
       WHERE name = $1`,
      [lease],
    )
  const left = (name: string) =>
    rowsOf(
      client,
      `SELECT l.holder, l.expires_at <= clock_timestamp() + l.ttl AS is_sane
       FROM elect.get_shares($1) s JOIN elect.leases l ON l.name = s.lease`,
      [name],
    )

  test.each([true, false])(
    'no share keeps its room for longer than it was given (exclusive: %s)',
    async (exclusive) => {
      const name = `ahead ${exclusive}`
      const dead = await shareTo(client, name, 'dead', { exclusive, capacity: 2 })
      if (!exclusive) await shareTo(client, name, 'bob', { ttl: '1 minute' })
      await ahead(dead.lease)
      expect((await share(other, name, 'eve')).granted).toBe(false)
      expect(await left(name)).toContainEqual({ holder: 'dead', is_sane: true })
      expect(await left(name)).not.toContainEqual({ holder: 'dead', is_sane: false })
    },
  )

  test('a share that its holder renews lasts for its ttl', async () => {
    const { lease, token } = await shareTo(client, 'renewed', 'ada')
    await ahead(lease)
    expect((await share(client, 'renewed', 'ada', { ttl: '1 hour' })).token).toBe(token)
    expect(await left('renewed')).toEqual([{ holder: 'ada', is_sane: true }])
  })
})

describe('prune_leases', () => {
  test('leaves no row behind of what nobody uses any more', async () => {
    const pruned = await database.connect()
    const left = () =>
      oneRow(
        pruned,
        `SELECT (SELECT count(*)::int FROM elect.leases WHERE part_of LIKE 'prune%') AS shares,
          (SELECT count(*)::int FROM elect.shared_leases WHERE name LIKE 'prune%') AS shared,
          (SELECT count(*)::int FROM elect.candidates WHERE lease LIKE 'prune%') AS places`,
      )
    const released = await shareTo(pruned, 'prune released', 'ada')
    await release(pruned, released.lease, released.token)
    await expire(pruned, (await shareTo(pruned, 'prune expired', 'ada')).lease)
    const forced = await shareTo(pruned, 'prune forced', 'ada', { exclusive: true })
    await standTo(pruned, 'prune forced', 'bob')
    await pruned.query("SELECT elect.force_release($1, 'a test')", [forced.lease])
    await pruned.query(
      "UPDATE elect.candidates SET expires_at = clock_timestamp() - interval '1 s' WHERE lease = 'prune forced'",
    )
    await pruned.query("SELECT elect.prune_leases('0 seconds')")
    expect(await left()).toEqual({ shares: 0, shared: 0, places: 0 })
  })

  test('keeps what somebody holds, and its capacity', async () => {
    await shareTo(client, 'kept', 'ada', { capacity: 1 })
    await client.query("SELECT elect.prune_leases('0 seconds')")
    expect(await sharersOf(client, 'kept')).toEqual(['ada'])
    expect((await share(client, 'kept', 'eve')).granted).toBe(false)
    expect(await scalar(client, "SELECT capacity FROM elect.get_shared('kept')")).toBe(1)
  })

  test('keeps what somebody waits for, and its capacity', async () => {
    await standTo(client, 'waited for', 'bob', { capacity: 0 })
    await client.query("SELECT elect.prune_leases('0 seconds')")
    expect(await standTo(client, 'waited for', 'bob')).toBe(0)
    expect(await scalar(client, "SELECT capacity FROM elect.get_shared('waited for')")).toBe(0)
  })

  test('keeps a capacity that was set less long ago than that', async () => {
    await client.query("SELECT elect.set_capacity('fresh', 2)")
    await client.query("SELECT elect.prune_leases('1 hour')")
    expect(await scalar(client, "SELECT capacity FROM elect.get_shared('fresh')")).toBe(2)
  })
})

describe('one name is one thing', () => {
  test('a plain lease is not shared', async () => {
    await client.query("SELECT elect.acquire_lease('plain', 'ada')")
    const before = await everythingStored(client)
    for (const call of [
      "acquire_share('plain', 'bob')",
      "acquire_share('plain', 'ada')",
      "acquire_share('plain', 'ada', exclusive => true, wait => true)",
      "enter_barrier('plain', 'ada', 1)",
      "set_capacity('plain', 2)",
      "enter_barrier('plain', 'bob', 2)",
    ]) {
      const failure = await failureOf(client.query(`SELECT elect.${call}`))
      expect(failure).toMatchObject({
        code: '22023',
        message: 'Invalid name: plain is the name of a lease that is not shared',
      })
    }
    expect(await everythingStored(client)).toEqual(before)
  })

  test('what is shared is no plain lease', async () => {
    const { lease, token } = await shareTo(client, 'shared', 'ada')
    await release(client, lease, token)
    const before = await everythingStored(client)
    for (const call of [
      "acquire_lease('shared', 'bob')",
      "acquire_lease('shared', 'bob', wait => true)",
      "compare_and_swap('shared', 'bob', null)",
      "compare_and_swap_version('shared', 'bob', 0)",
    ]) {
      expect(await failureOf(client.query(`SELECT elect.${call}`))).toMatchObject({
        code: '22023',
        message: 'Invalid lease name: shared is the name of a shared lease',
      })
    }
    expect(await everythingStored(client)).toEqual(before)
  })

  test('two sessions that make the same name at once make it one thing', async () => {
    for (let round = 0; round < 200; round += 1) {
      const name = `either ${round}`
      const calls = [
        client.query('SELECT granted FROM elect.acquire_lease($1, $2)', [name, 'ada']),
        other.query('SELECT granted FROM elect.acquire_share($1, $2)', [name, 'bob']),
      ]
      // A contender that meets the other one at its work is refused for the moment, without an error.
      const states = await Promise.all(calls.map(sqlStateOf))
      expect(states.filter((state) => state !== '00000' && state !== '22023')).toEqual([])
      const counts = await oneRow<{ plain: number; shared: number }>(
        client,
        `SELECT (SELECT count(*)::int FROM elect.leases WHERE name = $1) AS plain,
          (SELECT count(*)::int FROM elect.shared_leases WHERE name = $1) AS shared`,
        [name],
      )
      expect(counts.plain + counts.shared).toBe(1)
    }
  })

  // Such a transaction does not see what was made since it began to look.
  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'a lease made meanwhile is not shared at %s',
    async (level) => {
      const name = `meanwhile ${level}`
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      await client.query('SELECT count(*) FROM elect.leases')
      await other.query('SELECT elect.acquire_lease($1, $2)', [name, 'ada'])
      const state = await sqlStateOf(share(client, name, 'bob'))
      await client.query('ROLLBACK')
      expect(state).toBe('40001')
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      await shareTo(client, `${name}, another`, 'bob')
      await client.query('COMMIT')
      expect(await sharersOf(other, `${name}, another`)).toEqual(['bob'])
    },
  )

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'what is shared since is no plain lease at %s',
    async (level) => {
      const name = `shared since, ${level}`
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      await client.query('SELECT count(*) FROM elect.leases')
      await shareTo(other, name, 'ada')
      const state = await sqlStateOf(client.query('SELECT elect.acquire_lease($1, $2)', [name, 'bob']))
      await client.query('ROLLBACK')
      expect(state).toBe('40001')
      await client.query(`BEGIN ISOLATION LEVEL ${level}`)
      for (const free of [`${name}, free`, 'n'.repeat(200)]) {
        await client.query('SELECT elect.acquire_lease($1, $2)', [free, 'bob'])
      }
      await client.query('ROLLBACK')
    },
  )
})
