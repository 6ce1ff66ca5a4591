import { afterAll, beforeAll, expect, test } from 'vitest'
import { ClosedError, type PgElect, SchemaMissingError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

const LONG = { ttlMs: 300_000 }

const waits: [what: string, wait: (client: PgElect, name: string) => Promise<unknown>][] = [
  ['a lease', (client, name) => client.acquire(name)],
  ['a mutex', (client, name) => client.mutex(name).lock()],
  ['an election', (client, name) => client.election(name).campaign()],
  [
    'an election by connection',
    (client, name) => client.election(name, { takeover: 'connection' }).campaign(),
  ],
]

test.each(waits)('a client that closes while it asks for %s leaves no place in line', async (what, wait) => {
  const name = `leaves ${what}`
  const { client: holder } = openClient(database, LONG)
  const lease = await holder.acquire(name)
  for (let round = 0; round < 10; round++) {
    const { client } = openClient(database, LONG)
    await client.get('connects')
    const waiting = wait(client, name).catch((error: unknown) => error)
    // From asking nothing at all to having a place: whatever it is at.
    for (let turn = 0; turn < round; turn++) await holder.get(name)
    await client.close()
    expect(await waiting).toBeInstanceOf(ClosedError)
    expect(await holder.candidates(name)).toEqual([])
  }
  expect(lease.isHeld).toBe(true)
})

test('a mutex in the queue that is tried while the client closes is given back', async () => {
  const { client: other } = openClient(database, LONG)
  for (let round = 0; round < 10; round++) {
    const { client } = openClient(database, LONG)
    await client.get('connects')
    const trying = client
      .mutex('tried', { wait: 'queue' })
      .tryLock()
      .catch(() => null)
    for (let turn = 0; turn < round; turn++) await other.get('tried')
    await client.close()
    expect((await trying)?.isHeld ?? false).toBe(false)
    expect(await other.get('tried')).toBeNull()
  }
})

test('requests that were sent together are refused for the same reason, though one of them prepares for all', async () => {
  const session = await database.connect()
  await session.query('CREATE DATABASE without_schema')
  try {
    const url = new URL(database.connectionString)
    url.pathname = '/without_schema'
    const { client } = openClient(database, { connectionString: url.href })
    await client.get('connects').catch(() => undefined)
    const outcomes = await Promise.allSettled([
      client.candidates('a'),
      client.candidates('b'),
      client.candidates('c'),
    ])
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(SchemaMissingError) })
    }
    await client.close()
  } finally {
    await session.query('DROP DATABASE without_schema WITH (FORCE)')
    await session.end()
  }
})
