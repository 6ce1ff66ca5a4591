import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, guard, oneRow, release, renew, rowsOf, scalar, useDatabase } from './leases.ts'
import { Listener } from './listener.ts'
import { everythingStored, expire, sharersOf, shareTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

interface Party {
  readonly lease: string
  readonly token: number
  readonly opened: boolean
}

function enter(name: string, holder: string, parties: number, session = client): Promise<Party> {
  const text = `SELECT lease, token::float8, opened
    FROM elect.enter_barrier(name => $1, holder => $2, parties => $3, ttl => '1 hour')`
  return oneRow(session, text, [name, holder, parties])
}

/** Up to which token it has opened. */
function openedTo(name: string): Promise<number | null> {
  return scalar(client, 'SELECT opened_token::float8 FROM elect.get_shared(name => $1)', [name])
}

/** How many of those that came together have not left yet. */
function inside(name: string): Promise<number> {
  const text = `SELECT count(*)::int FROM elect.get_shares($1) s, elect.get_shared($1) b WHERE s.token <= b.opened_token`
  return scalar(client, text, [name])
}

describe('a barrier', () => {
  test('opens exactly when that many are together', async () => {
    expect((await enter('three', 'ada', 3)).opened).toBe(false)
    expect((await enter('three', 'bob', 3)).opened).toBe(false)
    expect(await openedTo('three')).toBeNull()
    const last = await enter('three', 'eve', 3)
    expect(last.opened).toBe(true)
    expect(await openedTo('three')).toBe(last.token)
    for (const holder of ['ada', 'bob', 'eve']) expect((await enter('three', holder, 3)).opened).toBe(true)
  })

  test('of one is open', async () => {
    expect((await enter('one', 'ada', 1)).opened).toBe(true)
  })

  test('one that says again that it is there counts once, and has the same share', async () => {
    const first = await enter('again', 'ada', 2)
    expect(await enter('again', 'ada', 2)).toEqual(first)
    expect(await enter('again', 'ada', 2)).toEqual(first)
    expect(await sharersOf(client, 'again')).toEqual(['ada'])
    expect((await enter('again', 'bob', 2)).opened).toBe(true)
    expect(await enter('again', 'ada', 2)).toEqual({ ...first, opened: true })
  })

  test('those who come after the opening gather for the next one', async () => {
    await enter('next', 'ada', 2)
    const second = await enter('next', 'bob', 2)
    expect((await enter('next', 'eve', 2)).opened).toBe(false)
    expect(await openedTo('next')).toBe(second.token)
    const fourth = await enter('next', 'joe', 2)
    expect(fourth.opened).toBe(true)
    expect(await openedTo('next')).toBe(fourth.token)
  })

  test('one that leaves and comes back gathers for the next one, too', async () => {
    const ada = await enter('cycle', 'ada', 2)
    await enter('cycle', 'bob', 2)
    await release(client, ada.lease, ada.token)
    const again = await enter('cycle', 'ada', 2)
    expect(again.opened).toBe(false)
    expect(again.token).toBeGreaterThan(ada.token)
    expect((await enter('cycle', 'bob', 2)).opened).toBe(true)
  })

  test('does not count one that died, nor one that left before', async () => {
    const dead = await enter('dead', 'dead', 3)
    const gone = await enter('dead', 'gone', 3)
    await expire(client, dead.lease)
    await release(client, gone.lease, gone.token)
    expect((await enter('dead', 'ada', 3)).opened).toBe(false)
    expect((await enter('dead', 'bob', 3)).opened).toBe(false)
    expect((await enter('dead', 'eve', 3)).opened).toBe(true)
  })

  test('does not count one that ran out while its guarded transaction is still open', async () => {
    const guarded = await database.connect()
    const dead = await enter('dead, guarded', 'dead', 2)
    await guarded.query('BEGIN')
    await guard(guarded, dead.lease, dead.token)
    await expire(client, dead.lease)
    expect((await enter('dead, guarded', 'ada', 2)).opened).toBe(false)
    await guarded.query('ROLLBACK')
    expect((await enter('dead, guarded', 'bob', 2)).opened).toBe(true)
  })

  test('one that died before the opening and comes back has missed it', async () => {
    const dead = await enter('missed', 'dead', 2)
    await expire(client, dead.lease)
    await enter('missed', 'ada', 2)
    await enter('missed', 'bob', 2)
    expect((await renew(client, dead.lease, dead.token)).granted).toBe(false)
    expect((await enter('missed', 'dead', 2)).opened).toBe(false)
  })

  test('those who leave together wait until none of them is inside', async () => {
    const parties = [await enter('double', 'ada', 2), await enter('double', 'bob', 2)]
    await enter('double', 'next', 2)
    const counts = [await inside('double')]
    for (const { lease, token } of parties) {
      await release(client, lease, token)
      counts.push(await inside('double'))
    }
    expect(counts).toEqual([2, 1, 0])
    expect(await sharersOf(client, 'double')).toEqual(['next'])
  })

  test('the share of a party guards what it does inside', async () => {
    const { lease, token } = await enter('guards', 'ada', 1)
    await guard(client, lease, token)
  })

  test('opens once, whatever number of sessions come at once', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => database.connect()))
    for (let round = 0; round < 30; round += 1) {
      const name = `at once ${round}`
      const parties = await Promise.all(
        sessions.map((session, index) => enter(name, `party ${index}`, sessions.length, session)),
      )
      expect(parties.filter(({ opened }) => opened)).toHaveLength(1)
      expect(await openedTo(name)).toBe(Math.max(...parties.map(({ token }) => token)))
    }
  })

  test('tells its followers of the opening', async () => {
    const ears = await database.connect()
    const channel = await scalar<string>(client, "SELECT elect.lease_channel('told')")
    await ears.query(`LISTEN ${channel}`)
    const listener = new Listener(ears)
    const ada = await enter('told', 'ada', 2)
    const bob = await enter('told', 'bob', 2)
    await enter('told', 'bob', 2)
    const event = { name: 'told', previous_holder: null }
    expect((await listener.heard()).get(channel)).toEqual([
      { ...event, event: 'granted', holder: 'ada', token: ada.token },
      { ...event, event: 'granted', holder: 'bob', token: bob.token },
      { ...event, event: 'opened', holder: null, token: bob.token },
    ])
  })

  test('needs a name of its own', async () => {
    await shareTo(client, 'writer', 'ada', { exclusive: true })
    await shareTo(client, 'full', 'ada', { capacity: 1 })
    const before = await everythingStored(client)
    for (const name of ['writer', 'full']) {
      expect(await failureOf(enter(name, 'bob', 2))).toMatchObject({
        code: '22023',
        message: `Shared lease ${name} is not open to everybody: a barrier needs a name of its own`,
      })
    }
    expect(await everythingStored(client)).toEqual(before)
  })

  test('leaves no row behind', async () => {
    const { lease, token } = await enter('pruned', 'ada', 1)
    await release(client, lease, token)
    await client.query("SELECT elect.prune_leases('0 seconds')")
    expect(await rowsOf(client, "SELECT FROM elect.shared_leases WHERE name = 'pruned'")).toEqual([])
  })
})
