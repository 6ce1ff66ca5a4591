import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BusyError, ConnectionError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { startEmbeddedPostgres } from '../../support/postgres/embedded.ts'
import { installSchema } from '../../support/postgres/install.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

describe('others that are in the way', () => {
  test('of a swap do not hold up the renewals of the same client', async () => {
    const session = await database.connect()
    await session.query(`SELECT elect.compare_and_swap('busy', 'a', NULL)`)
    await session.query(`BEGIN; SELECT elect.compare_and_swap('busy', 'b', 'a')`)

    const { client } = openClient(database, { ttlMs: 3_000 })
    const lease = await client.acquire('renewed-beside')
    const before = await client.get('renewed-beside')
    let isOver = false
    const swaps = Promise.all(
      Array.from({ length: 4 }, async () => {
        // What they answer is not the point here: once the lock is free, one of them succeeds.
        while (!isOver) await client.compareAndSwap('busy', 'c', 'a').catch(() => undefined)
      }),
    )
    // Three beats, each while swaps wait for the lock.
    while (((await client.get('renewed-beside'))?.version ?? 0) < (before?.version ?? 0) + 3) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    isOver = true
    await session.query('ROLLBACK')
    expect(lease.isHeld).toBe(true)
    expect(await client.get('renewed-beside')).toMatchObject({ token: lease.token })
    await swaps
  })

  test('of a swap are told as such', async () => {
    const session = await database.connect()
    await session.query(`SELECT elect.compare_and_swap('told', 'a', NULL)`)
    await session.query(`BEGIN; SELECT elect.compare_and_swap('told', 'b', 'a')`)
    const { client } = openClient(database)
    await expect(client.compareAndSwap('told', 'c', 'a')).rejects.toThrow(BusyError)
    await session.query('ROLLBACK')
  })

  test('a lease of the name of an advisory lock is refused to the client that has the lock', async () => {
    const { client } = openClient(database)
    const lock = await client.tryAdvisoryLock('same')
    expect(await client.tryAcquire('same')).toBeNull()
    await lock?.release()
    expect((await client.tryAcquire('same'))?.isHeld).toBe(true)
  })
})

describe('a commit that was to wait for a standby', () => {
  test('is unknown, not granted, if the wait is cancelled', { timeout: 60_000 }, async () => {
    const server = await startEmbeddedPostgres({
      settings: { max_connections: 20, synchronous_standby_names: 'nobody' },
    })
    const admin = new pg.Client({ connectionString: server.connectionString })
    try {
      await installSchema(`${server.connectionString}?options=-c%20synchronous_commit%3Dlocal`)
      await admin.connect()
      const own = { ...database, connectionString: server.connectionString }
      const { client } = openClient(own, { ttlMs: 60_000 })
      const asking = client.tryAcquire('replicated')
      const refused = expect(asking).rejects.toThrow(ConnectionError)
      for (;;) {
        const { rowCount } = await admin.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'pg-elect'`,
        )
        if (rowCount === 1) break
      }
      await refused
      await client.close()
    } finally {
      await admin.end()
      await server.stop()
    }
  })
})
