import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** How many moments the leases were granted at: those of one statement bear the same one. */
async function moments(prefix: string): Promise<{ leases: number; moments: number }> {
  const session = await database.connect()
  const text = `SELECT count(*)::int AS leases, count(DISTINCT acquired_at)::int AS moments
    FROM elect.leases WHERE holder IS NOT NULL AND name LIKE $1 || ' %'`
  const { rows } = await session.query<{ leases: number; moments: number }>(text, [prefix])
  await session.end()
  return rows[0] as { leases: number; moments: number }
}

test('callers of one client get their leases by few statements, and give them back so', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  const names = Array.from({ length: 200 }, (_, index) => `few ${index}`)
  const leases = await Promise.all(names.map((name) => client.tryAcquire(name)))
  expect(leases.every((lease) => lease?.isHeld === true)).toBe(true)
  expect(new Set(leases.map((lease) => lease?.holder)).size).toBe(200)
  expect(await moments('few')).toEqual({ leases: 200, moments: 2 })
  expect(await Promise.all(leases.map((lease) => lease?.release()))).toEqual(names.map(() => true))
  expect((await moments('few')).leases).toBe(0)
})

test('two callers of one client who ask for one name in the same moment: one gets it', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  for (const round of ['new', 'vacant']) {
    const leases = await Promise.all(
      ['a', 'same', 'same', 'b'].map((name) => client.tryAcquire(`two ${name}`)),
    )
    expect([round, leases.map((lease) => lease !== null)]).toEqual([round, [true, true, false, true]])
    for (const lease of leases) await lease?.release()
  }
})

test('a name that the database refuses fails its caller alone', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  await client.semaphore('refused shared', { permits: 2 }).tryAcquire()
  const outcomes = await Promise.allSettled(
    ['a', 'shared', 'b'].map((name) => client.tryAcquire(`refused ${name}`)),
  )
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(outcomes[1]).toMatchObject({ reason: { code: 'PG_ELECT_INVALID_ARGUMENT' } })
})

test('a connection that is torn under many callers locks none of them out', async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  const session = await database.connect()
  const names = Array.from({ length: 50 }, (_, index) => `torn ${index}`)
  await client.tryAcquire('torn first')
  const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pg-elect'`
  const [leases] = await Promise.all([
    Promise.all(names.map((name) => client.tryAcquire(name))),
    session.query(end),
  ])
  expect(leases.every((lease) => lease?.isHeld === true)).toBe(true)
  expect((await moments('torn')).leases).toBe(51)
})
