/**
 * After a fail-over: grants may be missing whose holders trust them still. A promotion is stood in for by an epoch of another timeline
 * as the last one known; test/faults promotes real standbys.
 */
import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  type Grant,
  grantColumns,
  grantTo,
  inTransaction,
  oneRow,
  release,
  renew,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'
import { stand, standAll } from './line.ts'
import { beginInOldEpoch, promote } from './promotions.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client

const MINUTE_MS = 60_000

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
})

beforeEach(() => beginInOldEpoch(client))

/** Sets back when the epoch was first seen, as if that had been longer ago. */
async function age(by: string): Promise<void> {
  await client.query(
    "SELECT setval('elect.epoch_seen', last_value - (extract(epoch FROM $1::interval) * 1000000)::bigint) FROM elect.epoch_seen",
    [by],
  )
}

const epochs = () =>
  rowsOf<{ epoch: number }>(client, 'SELECT epoch::float8 FROM elect.epochs ORDER BY epoch')

const graced = (expiresInMs: unknown = expect.any(Number)): Grant => ({
  granted: false,
  holder: null,
  token: null,
  version: null,
  metadata: null,
  expiresInMs: expiresInMs as number,
})

interface Seen {
  readonly holder: string | null
  readonly inGrace: boolean
  readonly expiresInMs: number | null
}

async function seen(name: string): Promise<Seen | undefined> {
  const [row] = await rowsOf<Seen>(
    client,
    `SELECT holder, in_grace AS "inGrace", (extract(epoch FROM expires_in) * 1000)::float8 AS "expiresInMs" FROM elect.get_lease($1)`,
    [name],
  )
  return row
}

describe('a new epoch', () => {
  test('is recorded by the first write, once, with a larger number and larger tokens', async () => {
    const before = await epochs()
    const last = before.at(-1)?.epoch ?? 0
    const token = await grantTo(client, 'counted', 'ada')
    await promote(client)
    await renew(client, 'counted', token)
    await renew(other, 'counted', token)
    expect(await epochs()).toHaveLength(before.length + 1)
    const { epoch } = await stored(client, 'counted')
    expect(epoch).toBe(last + 1)
    expect((await epochs()).at(-1)?.epoch).toBe(epoch)
    // An hour ahead of the epoch before: so that a server whose clock is behind repeats none of the tokens it does not know of.
    await client.query('SELECT elect.configure(grace => false)')
    const next = await grantTo(client, 'counted later', 'ada')
    expect(next - token).toBeGreaterThan(3_600_000_000)
    expect(next - token).toBeLessThan(3_660_000_000)
  })

  test('begins where the digest of server, timeline and table is another, and where an operator says so', async () => {
    const before = (await epochs()).length
    const identity = 'SELECT elect.current_identity()'
    const ofThisServer = await scalar(client, identity)
    expect(await scalar(other, identity)).toBe(ofThisServer)
    await promote(client)
    await acquire(client, 'restored', 'ada')
    expect(await epochs()).toHaveLength(before + 1)
    const epoch = await scalar<string>(client, "SELECT elect.new_epoch('restored a snapshot')")
    const settings = 'SELECT epoch, reason, longest_ttl::text AS longest, grace FROM elect.get_settings()'
    expect(await oneRow(client, settings)).toEqual({
      epoch,
      reason: 'restored a snapshot',
      longest: '00:01:00',
      grace: true,
    })
    expect(await epochs()).toHaveLength(before + 2)
  })

  test('begins for all when the first sees it, also one whose transaction stays open or is rolled back', async () => {
    const token = await grantTo(client, 'unhurried', 'ada')
    await promote(client)
    const before = (await epochs()).length
    const since = () => scalar<string>(client, 'SELECT last_value FROM elect.epoch_seen')
    let begun = ''
    await inTransaction(other, async () => {
      await renew(other, 'unhurried', token)
      begun = await since()
      // The other has it written and not committed.
      expect(await acquire(client, 'somebody else', 'bob')).toEqual(graced())
      expect(await since()).toBe(begun)
    })
    // The other was rolled back.
    expect(await acquire(client, 'somebody else', 'bob')).toEqual(graced())
    expect(await since()).toBe(begun)
    expect(await epochs()).toHaveLength(before)
  })

  test.each([
    ["SELECT elect.compare_and_swap('refused', 'a', null)", '55P03'],
    ["SELECT elect.enter_barrier('refused too', 'ada', 2)", '55P03'],
    ["SELECT elect.try_advisory_xact_lock('leased once')", '00000'],
  ])('begins with a call that is refused: %s', async (call, state) => {
    await release(client, 'leased once', await grantTo(client, 'leased once', 'ada'))
    await promote(client)
    expect(await sqlStateOf(client.query(call))).toBe(state)
    const begun = await scalar<string>(client, 'SELECT last_value FROM elect.epoch_seen')
    expect(Number(begun)).toBeGreaterThan(1)
    expect(await sqlStateOf(other.query(call))).toBe(state)
    expect(await scalar<string>(client, 'SELECT last_value FROM elect.epoch_seen')).toBe(begun)
  })

  test('is not kept from beginning by somebody who has its advisory lock', async () => {
    await promote(client)
    await inTransaction(other, async () => {
      await other.query('SELECT pg_advisory_xact_lock(elect.epoch_key())')
      expect(await acquire(client, 'kept out', 'bob')).toEqual(graced())
      await age('1 minute')
      expect(await acquire(client, 'kept out', 'bob')).toMatchObject({ granted: true })
    })
  })

  test('is seen by a transaction whose snapshot is older', async () => {
    await inTransaction(
      other,
      async () => {
        await other.query('SELECT count(*) FROM elect.leases')
        await client.query("SELECT elect.new_epoch('a test')")
        expect(await acquire(other, 'of an old snapshot', 'bob')).toEqual(graced())
      },
      'BEGIN ISOLATION LEVEL REPEATABLE READ',
    )
  })

  test('is recorded by the first client that connects, before it wants anything', async () => {
    await promote(client)
    const before = (await epochs()).length
    await client.query('BEGIN READ ONLY; SELECT elect.settle_connection(1); COMMIT')
    expect(await epochs()).toHaveLength(before)
    await client.query('SELECT elect.settle_connection(1)')
    expect(await epochs()).toHaveLength(before + 1)
  })

  test('of which the clock went back is seen anew: no lease is in its grace for longer', async () => {
    await promote(client)
    await acquire(client, 'clock', 'ada')
    await age('-1 hour')
    expect((await seen('clock'))?.expiresInMs).toBeLessThanOrEqual(MINUTE_MS)
    const { expiresInMs } = await acquire(client, 'clock', 'ada')
    expect(expiresInMs).toBeLessThanOrEqual(MINUTE_MS)
    expect(await scalar(client, 'SELECT max(first_seen_at) <= clock_timestamp() FROM elect.epochs')).toBe(
      true,
    )
  })

  test('does not begin by reading', async () => {
    await promote(client)
    const before = (await epochs()).length
    expect(await seen('never heard of')).toMatchObject({ holder: null, inGrace: true })
    expect(await epochs()).toHaveLength(before)
  })
})

describe('in its grace', () => {
  test('a lease is renewed by its holder at once, singly and with others, and is settled by that', async () => {
    const one = await grantTo(client, 'one', 'ada')
    const many = await grantTo(client, 'many', 'ada')
    const again = await grantTo(client, 'again', 'ada')
    await promote(client)
    expect(await seen('one')).toMatchObject({ holder: 'ada', inGrace: true })
    expect(await renew(client, 'one', one)).toMatchObject({ granted: true, token: one })
    const answer = `SELECT granted FROM elect.renew_leases('{many}', $1)`
    expect(await rowsOf(client, answer, [[many]])).toEqual([{ granted: true }])
    // By its name alone it may be one that has given it back since.
    expect(await acquire(client, 'again', 'ada')).toEqual(graced())
    expect(await renew(client, 'again', again)).toMatchObject({ granted: true, token: again })
    expect(await acquire(client, 'again', 'ada')).toMatchObject({ granted: true, token: again })
    for (const name of ['one', 'many', 'again']) {
      expect(await seen(name)).toMatchObject({ holder: 'ada', inGrace: false })
    }
    // From here on it is a lease as any other.
    await release(client, 'one', one)
    expect(await acquire(other, 'one', 'bob')).toMatchObject({ granted: true })
  })

  test.each([
    ['that nobody knows of', async () => {}],
    [
      'that looks vacant',
      async (name: string) => void (await release(client, name, await grantTo(client, name, 'ada'))),
    ],
    [
      'that has expired',
      async (name: string) => {
        await grantTo(client, name, 'ada', '100 milliseconds')
        await untilExpired(client, name)
      },
    ],
  ])('a lease %s is granted to nobody, also not to its last holder', async (what, prepare) => {
    const name = `lease ${what}`
    await prepare(name)
    await promote(client)
    for (const contender of ['bob', 'ada']) expect(await acquire(other, name, contender)).toEqual(graced())
    expect((await acquire(other, name, 'bob')).expiresInMs).toBeLessThanOrEqual(MINUTE_MS)
    expect(await seen(name)).toMatchObject({ holder: null, inGrace: true })
    await age('1 minute')
    expect(await seen(name)).toBeUndefined()
    expect(await acquire(other, name, 'bob')).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('lasts for the longest of what is configured, the ttl of the lease, and the one that is asked for', async () => {
    await release(client, 'long', await grantTo(client, 'long', 'ada', '1 hour'))
    await promote(client)
    const waits = async (name: string, ttl: string) =>
      Math.ceil(((await acquire(other, name, 'bob', ttl)).expiresInMs ?? 0) / 1000)
    expect(await waits('long', '15 seconds')).toBe(3600)
    expect(await waits('unknown', '2 hours')).toBe(7200)
    expect(await waits('unknown', '1 second')).toBe(60)
    await client.query("SELECT elect.configure(longest_ttl => '10 seconds')")
    expect(await waits('unknown', '1 second')).toBe(10)
  })

  test('a lease is handed to nobody by a release or a transfer, unless it was renewed before', async () => {
    // A release or transfer that is repeated after its answer was lost: the first one may have granted the lease already.
    const name = 'given up twice'
    const token = await grantTo(client, name, 'ada')
    await promote(client)
    await standAll(client, name, 'bob')
    expect(await transfer(client, name, token, 'carol')).toMatchObject({ granted: false, holder: 'ada' })
    expect(await transfer(client, name, token, 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    expect(await release(client, name, token)).toBe(true)
    expect(await acquire(other, name, 'bob')).toEqual(graced())
    await age('1 minute')
    expect(await acquire(other, name, 'bob')).toMatchObject({ granted: true })

    const settled = await grantTo(client, 'settled', 'ada')
    await promote(client)
    await renew(client, 'settled', settled)
    await standAll(client, 'settled', 'bob')
    expect(await release(client, 'settled', settled)).toBe(true)
    expect(await seen('settled')).toMatchObject({ holder: 'bob' })
  })

  test('a lease is not handed to one who asks for a longer ttl than has passed', async () => {
    const name = 'wanted for longer'
    const token = await grantTo(client, name, 'ada', '2 minutes')
    await promote(client)
    await stand(client, name, 'bob', { ttl: '1 hour' })
    expect(await acquire(other, 'which sees the epoch', 'carol')).toEqual(graced())
    await age('3 minutes')
    // Whoever was granted it before, and lost, may have asked for as long as this one does.
    expect(await release(client, name, token)).toBe(true)
    expect(await seen(name)).toBeUndefined()
    expect(await acquire(other, name, 'bob', '1 hour')).toEqual(graced())
  })

  test('those who wait stand in line, and are told how long', async () => {
    const name = 'waited for'
    await release(client, name, await grantTo(client, name, 'ada'))
    await promote(client)
    expect(await stand(client, name, 'bob', { ttl: '10 seconds' })).toMatchObject({ ...graced(), rank: 0 })
    expect(await stand(other, name, 'carol', { ttl: '10 seconds' })).toMatchObject({ ...graced(), rank: 1 })
  })

  test('nobody who waits is passed by another in the moment in which it is over', async () => {
    const name = 'waited for to the end'
    await release(client, name, await grantTo(client, name, 'ada', '10 seconds'))
    await promote(client)
    // Each one more keeps those who come last waiting for longer: here so long that a busy machine is quick enough.
    for (const [rank, holder] of [
      'bob',
      'dan',
      'eve',
      'fay',
      'gus',
      'hal',
      'ida',
      'jan',
      'kim',
      'lea',
    ].entries()) {
      expect(await stand(client, name, holder, { ttl: '1 minute' })).toMatchObject({ rank })
    }
    // It has been vacant for long: since then the line has had its turn many times over.
    await client.query(
      "UPDATE elect.leases SET expires_at = expires_at - interval '1 minute' WHERE name = $1",
      [name],
    )
    await age('59.95 seconds')
    await client.query('SELECT pg_sleep(0.06)')
    expect(await acquire(other, name, 'carol', '1 minute')).toMatchObject({ granted: false })
    expect(await stand(client, name, 'bob', { ttl: '1 minute' })).toMatchObject({ granted: true })
  })

  test('neither the queue nor a lost connection gives a lease away', async () => {
    const queued = `SELECT ${grantColumns} FROM elect.acquire_queued('queued', 'bob')`
    await release(client, 'queued', await grantTo(client, 'queued', 'ada'))
    const bound = await grantTo(client, 'bound', 'ada', '1 hour')
    const boundToo = await grantTo(client, 'bound too', 'ada', '1 hour')
    await client.query("UPDATE elect.leases SET is_bound = true WHERE name IN ('bound', 'bound too')")
    await promote(client)
    expect(await oneRow(client, queued)).toEqual(graced())
    expect(
      await rowsOf(client, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
    ).toEqual([])
    await standAll(other, 'bound', 'bob')
    const takeOver = `SELECT ${grantColumns} FROM elect.take_over('bound', 'bob')`
    expect(await oneRow(other, takeOver)).toMatchObject({ granted: false, holder: 'ada' })
    // Its holder has been heard of, in another session than the one that it was bound to: it is a lease as any other.
    await renew(client, 'bound', bound)
    expect(await oneRow(other, takeOver)).toMatchObject({ granted: false, holder: 'ada' })
    await client.query("SELECT elect.renew_leases('{bound too}', ARRAY[$1::bigint])", [boundToo])
    await standAll(other, 'bound too', 'bob')
    expect(await scalar(other, "SELECT granted FROM elect.take_over('bound too', 'bob')")).toBe(false)
    await client.query("SELECT elect.bind_lease('bound', $1)", [bound])
    expect(await scalar(client, "SELECT is_bound FROM elect.leases WHERE name = 'bound'")).toBe(true)
    await client.query("SELECT pg_advisory_unlock(elect.bind_key('bound'))")
    expect(await oneRow(other, takeOver)).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('a register is not written, unless by the same value or where nothing expires', async () => {
    await swap(client, 'with ttl', 'a', null, '1 hour')
    await swap(client, 'for ever', 'a', null)
    await promote(client)
    expect(await sqlStateOf(swap(other, 'new key', 'a', null))).toBe('55P03')
    expect(await sqlStateOf(swap(other, 'new key', 'b', 'a'))).toBe('55P03')
    expect(await sqlStateOf(swap(other, 'with ttl', 'b', 'a', '1 hour'))).toBe('55P03')
    expect(await sqlStateOf(other.query("SELECT elect.compare_and_swap_version('new key', 'a', 0)"))).toBe(
      '55P03',
    )
    expect(await rowsOf(client, "SELECT FROM elect.leases WHERE name = 'new key'")).toEqual([])
    expect(await swap(other, 'for ever', 'b', 'a')).toBe(true)
    expect(await swap(other, 'with ttl', 'a', 'a', '1 hour')).toBe(true)
    // The same again has settled it.
    expect(await swap(other, 'with ttl', 'b', 'a', '1 hour')).toBe(true)
  })

  test('no share is granted, and one that has run out says how long', async () => {
    const share = (name: string, holder: string, more = '') =>
      oneRow<Seen & { granted: boolean }>(
        client,
        `SELECT granted, holder, (extract(epoch FROM expires_in) * 1000)::float8 AS "expiresInMs" FROM elect.acquire_share($1, $2${more})`,
        [name, holder],
      )
    await share('group', 'ada')
    await share('permits', 'ada', ", capacity => 2, ttl => '1 hour'")
    await share('documents', 'ada', ', exclusive => true')
    await share('permits', 'eve')
    await client.query(
      "UPDATE elect.leases SET expires_at = clock_timestamp() WHERE holder = 'ada' AND part_of = 'permits'",
    )
    await promote(client)
    // Whoever gives one back sweeps those that have run out.
    await client.query(
      "SELECT elect.release_lease(name, token) FROM elect.leases WHERE part_of = 'permits' AND holder = 'eve'",
    )
    // It may be a lock of readers and a writer, whose first writer was lost.
    for (const name of ['group', 'documents', 'new permits']) {
      expect(await share(name, 'bob')).toMatchObject({ granted: false, expiresInMs: expect.any(Number) })
    }
    const { expiresInMs } = await share('permits', 'bob', ", ttl => '1 second'")
    expect(expiresInMs).toBeGreaterThan(3_500_000)
    await age('1 hour')
    for (const name of ['group', 'permits', 'new permits']) {
      expect(await share(name, 'bob')).toMatchObject({ granted: true })
    }
  })

  test('a share that comes free is not handed on', async () => {
    const ask = (holder: string) =>
      oneRow<{ lease: string; token: string; granted: boolean }>(
        client,
        'SELECT lease, token, granted FROM elect.acquire_share($1, $2, capacity => 1, wait => true)',
        ['one permit', holder],
      )
    const { lease, token } = await ask('ada')
    await promote(client)
    expect(await ask('bob')).toMatchObject({ granted: false })
    await client.query('SELECT elect.release_lease($1, $2)', [lease, token])
    expect(await rowsOf(client, "SELECT FROM elect.leases WHERE part_of = 'one permit'")).toEqual([])
    await age('1 minute')
    expect(await ask('bob')).toMatchObject({ granted: true })
  })

  test('nobody comes to a barrier, and is told for how long', async () => {
    await client.query("SELECT * FROM elect.enter_barrier('known', 'ada', 2)")
    await promote(client)
    const enter = () => other.query("SELECT opened FROM elect.enter_barrier('known', 'bob', 2)")
    expect(await sqlStateOf(enter())).toBe('55P03')
    await age('1 minute')
    expect((await enter()).rows).toEqual([{ opened: true }])
  })

  test('the advisory lock of a lease that is known is taken, that of another name is free', async () => {
    await release(client, 'leased', await grantTo(client, 'leased', 'ada'))
    await promote(client)
    expect(await scalar(client, "SELECT elect.try_advisory_lock('leased')")).toBe(false)
    expect(await scalar(client, "SELECT elect.try_advisory_lock('never leased')")).toBe(true)
    await client.query("SELECT elect.advisory_unlock('never leased')")
  })

  test('no row is pruned, as it says for how long its last holder may trust what was lost', async () => {
    await release(client, 'kept', await grantTo(client, 'kept', 'ada', '1 hour'))
    await promote(client)
    await acquire(client, 'kept', 'bob')
    await age('2 minutes')
    await client.query("SELECT elect.prune_leases('0')")
    expect(await acquire(client, 'kept', 'bob')).toEqual(graced())
    await age('1 hour')
    await client.query("SELECT elect.prune_leases('0')")
    expect(await rowsOf(client, "SELECT FROM elect.leases WHERE name = 'kept'")).toEqual([])
  })

  test('nobody waits where an operator has turned it off', async () => {
    await promote(client)
    await client.query('SELECT elect.configure(grace => false)')
    expect(await acquire(other, 'at once', 'bob')).toMatchObject({ granted: true })
    expect(await seen('nobody has it')).toBeUndefined()
  })
})

describe('for operators', () => {
  test.each([
    [
      "elect.configure(longest_ttl => '1 month')",
      'Invalid longest_ttl: expected 100 milliseconds to 24 hours without months, got',
    ],
    ["elect.configure(longest_ttl => '99 milliseconds')", 'Invalid longest_ttl: expected'],
    ["elect.new_epoch('')", 'Invalid reason: expected 1 to 500 bytes, got 0 bytes'],
    ['elect.new_epoch(null)', 'Invalid reason: expected 1 to 500 bytes, got null'],
  ])('%s is refused, and changes nothing', async (call, message) => {
    const state = 'SELECT (SELECT count(*) FROM elect.epochs), s.* FROM elect.settings s'
    const before = await oneRow(client, state)
    const error: unknown = await client.query(`SELECT ${call}`).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: '22023', message: expect.stringContaining(message) })
    expect(await oneRow(client, state)).toEqual(before)
  })

  test('two who declare an epoch at once declare two, one after the other', async () => {
    const before = await epochs()
    const pid = await backendPid(other)
    await client.query('BEGIN')
    await client.query("SELECT elect.new_epoch('one')")
    const second = scalar<string>(other, "SELECT elect.new_epoch('two')")
    await whenBlocked(client, pid)
    await client.query('COMMIT')
    expect(Number(await second)).toBe((before.at(-1)?.epoch ?? 0) + 2)
  })
})
