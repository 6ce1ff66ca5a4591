import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type LeadershipChange, LeaseLostError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { aborted, openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** Ends every session of the clients of a database, as an administrator or a restart would, and tells how many there were. */
async function endSessions(of: TestDatabase): Promise<number> {
  const session = await database.connect()
  const { rows } = await session.query<{ ended: number }>(
    `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
     WHERE datname = $1 AND application_name = 'pg-elect'`,
    [of.name],
  )
  await session.end()
  return rows[0]?.ended ?? 0
}

describe('a connection that is lost', () => {
  test('is not a lease lost: the leader goes on on a new one, under its token', async () => {
    // Its next beat would come too late for this test.
    const { client, log } = openClient(database, { ttlMs: 300_000 })
    const leadership = await client.election('goes-on').campaign()
    const before = await client.get('goes-on')
    expect(await endSessions(database)).toBe(1)
    await log.logged('lost a connection to the database')

    // The heartbeat hurries: a newer version under the same token is a renewal on the new connection.
    let now = await client.get('goes-on')
    while (now?.version === before?.version) now = await client.get('goes-on')
    expect(now).toMatchObject({ token: leadership.token, holder: leadership.holder })
    expect(leadership.isHeld).toBe(true)
    expect(leadership.signal.aborted).toBe(false)
    await leadership.renew()
  })

  test('leaves no gap for a candidate: it listens again and takes over at once', async () => {
    const [leader, candidate] = [
      openClient(database, { ttlMs: 300_000 }),
      openClient(database, { ttlMs: 300_000, retryIntervalMs: 20 }),
    ]
    const leadership = await leader.client.election('gap').campaign()
    const succession = candidate.client.election('gap').campaign()
    await candidate.log.candidateListens()
    await endSessions(database)
    await leadership.release()
    expect((await succession).token).toBeGreaterThan(leadership.token)
  })

  test('leaves no gap for an observer: it reads again what it may have missed', async () => {
    const { client, log } = openClient(database, { ttlMs: 300_000, retryIntervalMs: 20 })
    const session = await database.connect()
    const changes = client.election('missed').observe()
    const next = async () => (await changes.next()).value as LeadershipChange
    expect((await next()).leader).toBeNull()
    const change = next()
    await endSessions(database)
    await log.logged('lost a connection to the database')
    // No notification can reach the observer for the first of these at least.
    const { rows } = await session.query(
      `SELECT token::float8 FROM elect.acquire_lease('missed', 'somebody')`,
    )
    expect((await change).leader).toMatchObject({ holder: 'somebody', token: rows[0].token })
    await changes.return()
  })

  test('to a server that is gone ends trust at the deadline, with an aborted signal and no uncaught error', async () => {
    await using other = await createTestDatabase()
    const { client, log } = openClient(other, { ttlMs: 1_500 })
    const lease = await client.acquire('gone')
    const session = await database.connect()
    await session.query(`ALTER DATABASE ${other.name} ALLOW_CONNECTIONS false`)
    expect(await endSessions(other)).toBe(1)
    expect(await aborted(lease.signal)).toBeInstanceOf(LeaseLostError)
    expect(lease.isHeld).toBe(false)
    expect(() => lease.assertHeld()).toThrow(LeaseLostError)
    expect(
      log.lines.some(({ message }) => message === 'a renewal failed, trying again until the deadline'),
    ).toBe(true)
  })
})
