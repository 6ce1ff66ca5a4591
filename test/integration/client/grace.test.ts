/** What a client does in a new epoch, in which grants may have been lost. An operator's word begins it here as a fail-over would. */
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { BusyError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient, TTL_MS } from './clients.ts'

let database: TestDatabase
let operator: pg.Client
beforeAll(async () => {
  database = await createTestDatabase()
  operator = await database.connect()
})
afterAll(() => database.drop())

// Each test begins in an epoch of old.
beforeEach(() => operator.query("SELECT setval('elect.epoch_seen', 1)"))

async function newEpoch(longestTtl: string): Promise<void> {
  await operator.query('SELECT elect.configure(longest_ttl => $1::interval)', [longestTtl])
  await operator.query("SELECT elect.new_epoch('a test')")
}

test('a leader leads on, and its next beat ends the grace of its lease', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  const { client: rival } = openClient(database)
  const lease = await client.acquire('led on')
  await newEpoch('1 hour')
  expect(await rival.get('led on')).toMatchObject({ holder: lease.holder, inGrace: true })
  expect(await rival.graceMs('led on')).toBeGreaterThan(3_500_000)
  await lease.renew()
  expect(lease.isHeld).toBe(true)
  expect(await rival.get('led on')).toMatchObject({
    holder: lease.holder,
    token: lease.token,
    inGrace: false,
  })
  expect(await rival.graceMs('led on')).toBeNull()
})

test('nobody else is elected until the grace is over; candidates then are, without having asked again and again', async () => {
  const { client, log } = openClient(database)
  await newEpoch('3 seconds')
  expect(await client.get('lost')).toBeNull()
  expect(await client.tryAcquire('lost')).toBeNull()
  const graceMs = await client.graceMs('lost')
  expect(graceMs).toBeGreaterThan(0)
  const lease = await client.acquire('lost')
  const [{ waited }] = (
    await operator.query<{ waited: boolean }>(
      "SELECT acquired_at >= (SELECT first_seen_at + '3 seconds' FROM elect.get_settings()) AS waited FROM elect.get_lease('lost')",
    )
  ).rows as [{ waited: boolean }]
  expect(waited).toBe(true)
  expect(lease.isHeld).toBe(true)
  expect(log.lines.filter(({ message }) => message === 'waiting for a lease').length).toBeLessThanOrEqual(3)
})

test('observers are told of a leader that is known, and of nobody else', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  await client.acquire('observed')
  await newEpoch('1 hour')
  const { client: follower } = openClient(database)
  for await (const { leader } of follower.election('observed').observe()) {
    expect(leader).toMatchObject({ inGrace: true })
    break
  }
  for await (const { leader } of follower.election('of nobody').observe()) {
    expect(leader).toBeNull()
    break
  }
})

test('a key is not written, and a barrier that may have been raised is not passed', async () => {
  const { client } = openClient(database)
  await newEpoch(`${TTL_MS} milliseconds`)
  await expect(client.compareAndSwap('key', 'a', null)).rejects.toThrow(BusyError)
  await expect(client.barrier('raised?').wait({ timeoutMs: 0 })).rejects.toThrow(/Timed out/)
  await client.barrier('raised?').wait()
  expect(await client.graceMs('key')).toBeNull()
})
