import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  grantTo,
  guard,
  oneRow,
  release,
  renew,
  scalar,
  stored,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

const microsecondsNow = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::float8'

describe('tokens', () => {
  test('are the microseconds since 1970', async () => {
    const before = await scalar<number>(client, microsecondsNow)
    const token = await grantTo(client, 'clock', 'ada')
    const after = await scalar<number>(client, microsecondsNow)
    expect(token).toBeGreaterThanOrEqual(before)
    expect(token).toBeLessThanOrEqual(after)
    expect(token).toBeLessThan(Number.MAX_SAFE_INTEGER)
  })

  test('grow over release, expiry, transfer, force, swap and prune', async () => {
    const tokens: number[] = []
    const noted = async () => tokens.push((await stored(client, 'growing')).token)

    await grantTo(client, 'growing', 'ada')
    await noted()
    await release(client, 'growing', Number(tokens.at(-1)))
    await grantTo(client, 'growing', 'ada', '100 milliseconds')
    await noted()
    await untilExpired(client, 'growing')
    await grantTo(client, 'growing', 'ada')
    await noted()
    await transfer(client, 'growing', Number(tokens.at(-1)), 'bob')
    await noted()
    // To oneself as well: it is a grant.
    await transfer(client, 'growing', Number(tokens.at(-1)), 'bob')
    await noted()
    await swap(client, 'growing', 'eve', 'bob')
    await noted()
    await client.query("SELECT elect.force_release('growing', 'a test')")
    await grantTo(client, 'growing', 'eve')
    await noted()
    await release(client, 'growing', Number(tokens.at(-1)))
    await client.query("SELECT elect.prune_leases('0 seconds')")
    await grantTo(client, 'growing', 'ada')
    await noted()

    expect(tokens).toEqual(tokens.toSorted((left, right) => left - right))
    expect(new Set(tokens).size).toBe(8)
  })

  test('go on counting where the last one lies in the future', async () => {
    const token = await grantTo(client, 'ahead', 'ada')
    const ahead = token + 3_600_000_000
    await client.query("UPDATE elect.leases SET token = $1 WHERE name = 'ahead'", [ahead])
    const next = await transfer(client, 'ahead', ahead, 'bob')
    expect(next.token).toBe(ahead + 1)
    await release(client, 'ahead', ahead + 1)
    expect(await grantTo(client, 'ahead', 'ada')).toBe(ahead + 2)
    await swap(client, 'ahead', 'eve', 'ada')
    expect((await stored(client, 'ahead')).token).toBe(ahead + 3)
  })

  test('of two grants in one transaction differ', async () => {
    await client.query('BEGIN')
    const first = await grantTo(client, 'quick', 'ada')
    await release(client, 'quick', first)
    expect(await grantTo(client, 'quick', 'ada')).toBeGreaterThan(first)
    await client.query('COMMIT')
  })
})

describe('the version', () => {
  test('grows by one with each write, and with nothing else', async () => {
    const first = await grantTo(client, 'version', 'ada')
    let expected = first
    const writes = async (count: number) => {
      expected += count
      expect((await stored(client, 'version')).version).toBe(expected)
    }
    await writes(0)
    await renew(client, 'version', first)
    await writes(1)
    await client.query("SELECT elect.renew_leases('{version}', ARRAY[$1::bigint])", [first])
    await writes(1)
    await acquire(client, 'version', 'ada')
    await writes(1)
    await acquire(client, 'version', 'bob')
    await guard(client, 'version', first)
    await renew(client, 'version', first + 1)
    await release(client, 'version', first + 1)
    await swap(client, 'version', 'x', 'y')
    await client.query("SELECT * FROM elect.get_lease('version')")
    await writes(0)
    const { token } = await transfer(client, 'version', first, 'bob')
    await writes(1)
    await swap(client, 'version', 'bob', 'bob')
    await writes(1)
    await release(client, 'version', Number(token))
    await writes(1)
    await release(client, 'version', Number(token))
    await client.query("SELECT elect.force_release('version', 'nobody holds it')")
    await swap(client, 'version', null, null)
    await writes(0)
    await grantTo(client, 'version', 'eve')
    await writes(1)
    await client.query("SELECT elect.force_release('version', 'a test')")
    await writes(1)
  })
})

test('each grant and each renewal records its epoch, which began as the timeline of the server', async () => {
  const timeline = await scalar<number>(
    client,
    'SELECT timeline_id FROM pg_control_checkpoint() WHERE NOT pg_is_in_recovery()',
  )
  const token = await grantTo(client, 'epoch', 'ada')
  expect((await stored(client, 'epoch')).epoch).toBe(timeline)
  await client.query("UPDATE elect.leases SET epoch = 0 WHERE name = 'epoch'")
  await renew(client, 'epoch', token)
  expect((await stored(client, 'epoch')).epoch).toBe(timeline)
  await client.query("UPDATE elect.leases SET epoch = 0 WHERE name = 'epoch'")
  await client.query("SELECT elect.renew_leases('{epoch}', $1)", [[token]])
  expect((await stored(client, 'epoch')).epoch).toBe(timeline)
  await transfer(client, 'epoch', token, 'bob')
  expect((await stored(client, 'epoch')).epoch).toBe(timeline)
})

describe('force_release', () => {
  test('takes the lease away, says why until the next grant, and is false where nobody has it', async () => {
    const token = await grantTo(client, 'forced', 'ada', '1 hour')
    expect(await scalar(client, "SELECT elect.force_release('forced', 'host is gone')")).toBe(true)
    expect((await renew(client, 'forced', token)).granted).toBe(false)
    const { metadata } = await stored(client, 'forced')
    expect(metadata).toEqual({
      reason: 'host is gone',
      forced_by: await scalar(client, 'SELECT session_user'),
      ended_backends: [],
    })
    expect(await scalar(client, "SELECT elect.force_release('forced', 'again')")).toBe(false)
    expect(await scalar(client, "SELECT elect.force_release('never was', 'why not')")).toBe(false)
    expect(await acquire(client, 'forced', 'bob')).toMatchObject({ granted: true, metadata: null })
  })
})

describe('prune_leases', () => {
  test('deletes what has been vacant for that long, and nothing else', async () => {
    const names = ['p held', 'p released', 'p expired', 'p for ever', 'p recent']
    await grantTo(client, 'p held', 'ada', '1 hour')
    await swap(client, 'p for ever', 'ada', null)
    await release(client, 'p released', await grantTo(client, 'p released', 'ada'))
    await release(client, 'p recent', await grantTo(client, 'p recent', 'ada'))
    await grantTo(client, 'p expired', 'ada', '100 milliseconds')
    await client.query(
      `UPDATE elect.leases SET expires_at = expires_at - interval '2 hours', renewed_at = renewed_at - interval '2 hours'
       WHERE name IN ('p released', 'p expired')`,
    )
    expect(await scalar(client, "SELECT elect.prune_leases('1 hour')::int")).toBe(2)
    const { left } = await oneRow<{ left: string[] }>(
      client,
      'SELECT array_agg(name ORDER BY name) AS left FROM elect.leases WHERE name = ANY ($1)',
      [names],
    )
    expect(left).toEqual(['p for ever', 'p held', 'p recent'])
  })
})
