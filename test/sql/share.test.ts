import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { failureOf, release, renew, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { everythingStored, expire, nobodySharing, share, sharersOf, shareTo, standTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let observer: pg.Client

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  observer = await database.connect()
})

describe('a read-write lock', () => {
  test('readers share it', async () => {
    await shareTo(client, 'readers', 'ada')
    await shareTo(other, 'readers', 'bob')
    expect(await sharersOf(client, 'readers')).toEqual(['ada', 'bob'])
  })

  test('a writer keeps readers and other writers out', async () => {
    const { lease, token } = await shareTo(client, 'writer', 'ada', {
      exclusive: true,
      metadata: { at: 'a' },
    })
    const refusal = { granted: false, lease, holder: 'ada', token, metadata: { at: 'a' }, rank: null }
    expect(await share(other, 'writer', 'bob')).toMatchObject(refusal)
    expect(await share(other, 'writer', 'eve', { exclusive: true })).toMatchObject(refusal)
    expect(await sharersOf(client, 'writer')).toEqual(['ada'])
  })

  test('readers keep a writer out, until the last of them has gone', async () => {
    const [ada, bob] = [await shareTo(client, 'kept out', 'ada'), await shareTo(client, 'kept out', 'bob')]
    await release(client, ada.lease, ada.token)
    expect((await share(other, 'kept out', 'eve', { exclusive: true })).granted).toBe(false)
    await release(client, bob.lease, bob.token)
    expect((await share(other, 'kept out', 'eve', { exclusive: true })).granted).toBe(true)
  })

  test('readers come back once the writer has gone', async () => {
    const { lease, token } = await shareTo(client, 'back', 'ada', { exclusive: true })
    expect(await release(client, lease, token)).toBe(true)
    await shareTo(client, 'back', 'bob')
    await shareTo(client, 'back', 'eve')
  })

  test('a writer that died is replaced once its share has run out', async () => {
    const { lease, token } = await shareTo(client, 'died', 'ada', { exclusive: true })
    await expire(client, lease)
    const next = await shareTo(client, 'died', 'bob', { exclusive: true })
    expect(next.token).toBeGreaterThan(token)
    expect((await renew(client, lease, token)).granted).toBe(false)
    expect(await release(client, lease, token)).toBe(false)
  })

  test('get_shares tells who writes, and who reads', async () => {
    const of = (name: string) =>
      rowsOf(client, 'SELECT holder, is_exclusive FROM elect.get_shares($1)', [name])
    const { lease, token } = await shareTo(client, 'who', 'ada', { exclusive: true })
    expect(await of('who')).toEqual([{ holder: 'ada', is_exclusive: true }])
    await release(client, lease, token)
    await shareTo(client, 'who', 'bob')
    await shareTo(client, 'who', 'eve')
    expect(await of('who')).toEqual([
      { holder: 'bob', is_exclusive: false },
      { holder: 'eve', is_exclusive: false },
    ])
  })
})

describe('a share', () => {
  test('is a lease named after its token, which is renewed as any other', async () => {
    const granted = await share(client, 'named', 'ada', { ttl: '10 seconds', metadata: { at: 'here' } })
    expect(granted).toEqual({
      ...granted,
      lease: `named#${granted.token}`,
      granted: true,
      holder: 'ada',
      metadata: { at: 'here' },
      rank: null,
      expiresInMs: 10_000,
    })
    const { lease, token } = granted as { lease: string; token: number }
    expect((await renew(client, lease, token, '1 hour')).granted).toBe(true)
    const text = "SELECT granted FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint], interval '1 hour')"
    expect(await rowsOf(client, text, [lease, token])).toEqual([{ granted: true }])
  })

  test('tokens grow from share to share, whoever reads or writes', async () => {
    const tokens: number[] = []
    for (const exclusive of [false, true, true, false, false, true]) {
      const { lease, token } = await shareTo(client, 'growing', `holder ${tokens.length}`, { exclusive })
      tokens.push(token)
      await release(client, lease, token)
    }
    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b))
    expect(new Set(tokens).size).toBe(tokens.length)
  })

  test('tokens grow even where the clock of the server went back', async () => {
    const { lease, token } = await shareTo(client, 'clock', 'ada')
    const ahead = token + 3_600_000_000
    await client.query("UPDATE elect.shared_leases SET token = $1 WHERE name = 'clock'", [ahead])
    expect((await shareTo(client, 'clock', 'bob')).token).toBe(ahead + 1)
    expect(await release(client, lease, token)).toBe(true)
  })

  test('a retry by the same holder is granted the same share, for longer', async () => {
    const { lease, token } = await shareTo(client, 'again', 'ada', { ttl: '10 seconds', capacity: 1 })
    const again = await share(other, 'again', 'ada', { ttl: '1 hour' })
    expect(again).toMatchObject({ granted: true, lease, token })
    expect(again.expiresInMs).toBe(3_600_000)
    expect(await sharersOf(client, 'again')).toEqual(['ada'])
  })

  test('a retry of a writer is granted the same exclusive share', async () => {
    const { lease, token } = await shareTo(client, 'write again', 'ada', { exclusive: true })
    for (const exclusive of [true, false]) {
      expect(await share(other, 'write again', 'ada', { exclusive })).toMatchObject({
        granted: true,
        lease,
        token,
      })
    }
    expect((await share(other, 'write again', 'bob')).granted).toBe(false)
  })

  // Whoever is told yes believes to be alone.
  test('a reader that asks to write is not told that it does', async () => {
    const { lease, token } = await shareTo(client, 'upgrade', 'ada')
    for (const wait of [false, true]) {
      const failure = await failureOf(share(client, 'upgrade', 'ada', { exclusive: true, wait }))
      expect(failure).toMatchObject({
        code: '22023',
        message:
          'Invalid exclusive: expected false, as ada has a share of upgrade that is not exclusive, got true',
      })
      expect(failure.hint).toContain(lease)
    }
    await shareTo(other, 'upgrade', 'bob')
    expect(await release(client, lease, token)).toBe(true)
  })

  test('a holder whose share ran out is granted another', async () => {
    const first = await shareTo(client, 'anew', 'ada')
    await expire(client, first.lease)
    const second = await shareTo(client, 'anew', 'ada')
    expect(second.token).toBeGreaterThan(first.token)
    expect(await sharersOf(client, 'anew')).toEqual(['ada'])
    expect(await rowsOf(client, 'SELECT FROM elect.leases WHERE name = $1', [first.lease])).toEqual([])
  })

  test('force_release takes it away, and leaves the room to the next one', async () => {
    const { lease, token } = await shareTo(client, 'forced', 'ada', { exclusive: true })
    expect(await scalar(client, "SELECT elect.force_release($1, 'a test')", [lease])).toBe(true)
    expect(await sharersOf(client, 'forced')).toEqual([])
    expect((await renew(client, lease, token)).granted).toBe(false)
    expect((await shareTo(client, 'forced', 'bob', { exclusive: true })).token).toBeGreaterThan(token)
  })

  test('cannot be transferred', async () => {
    const { lease, token } = await shareTo(client, 'stays', 'ada')
    const query = client.query("SELECT elect.transfer_lease($1, $2, 'bob')", [lease, token])
    expect(await failureOf(query)).toMatchObject({ code: '22023' })
    expect(await sharersOf(client, 'stays')).toEqual(['ada'])
  })

  test('priority null asks only', async () => {
    const before = await everythingStored(client)
    expect(await share(client, 'asks', 'ada', { priority: null, wait: true })).toEqual(nobodySharing)
    expect(await everythingStored(client)).toEqual(before)
    const { lease, token } = await shareTo(client, 'asks', 'bob')
    expect(await share(client, 'asks', 'ada', { priority: null })).toMatchObject({
      granted: false,
      lease,
      token,
      holder: 'bob',
    })
    expect(await sharersOf(client, 'asks')).toEqual(['bob'])
  })

  test('a retry waits for a renewal that is not committed', async () => {
    const { lease, token } = await shareTo(client, 'busy', 'ada')
    const pid = await backendPid(other)
    await client.query('BEGIN')
    await renew(client, lease, token)
    const again = share(other, 'busy', 'ada')
    await whenBlocked(observer, pid)
    await client.query('COMMIT')
    expect(await again).toMatchObject({ granted: true, lease, token })
  })

  test('a retry and a release of the same share do not wait for each other', async () => {
    const { lease, token } = await shareTo(client, 'both', 'ada')
    const pid = await backendPid(other)
    await client.query('BEGIN')
    await renew(client, lease, token)
    const again = share(other, 'both', 'ada')
    await whenBlocked(observer, pid)
    // The retry has nothing yet that the release needs.
    expect(await release(client, lease, token)).toBe(true)
    await client.query('COMMIT')
    const anew = await again
    expect(anew.granted).toBe(true)
    expect(anew.token).toBeGreaterThan(token)
    expect(await sharersOf(client, 'both')).toEqual(['ada'])
  })

  test('a place that somebody is about to leave holds up a grant for no longer than a second', async () => {
    const waiting = await shareTo(client, 'leaving', 'ada', { exclusive: true })
    await standTo(client, 'leaving', 'bob')
    await standTo(client, 'leaving', 'eve')
    await expire(client, waiting.lease)
    await client.query('BEGIN')
    await client.query("SELECT elect.leave_queue('leaving', 'eve')")
    // bob is first, and granted; whether eve is next nobody can tell.
    expect(await sqlStateOf(share(other, 'leaving', 'bob'))).toBe('55P03')
    expect(await sqlStateOf(other.query("SELECT elect.set_capacity('leaving', 9)"))).toBe('55P03')
    await client.query('COMMIT')
    await shareTo(other, 'leaving', 'bob')
    expect(await sharersOf(client, 'leaving')).toEqual(['bob'])
  })
})
