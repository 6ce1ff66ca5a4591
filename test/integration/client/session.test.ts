/** The sessions of a client: how they are settled, and how one is found out that has died in silence. */
import type { CompiledQuery } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { ControlConnection } from '../../../src/connection.ts'
import type { LeadershipChange, Lease, PgElect } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { silent } from '../../faults/primitives/uses.ts'
import { FaultProxy } from '../../faults/support/fault-proxy.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

function connect(connectionString: string, ttlMs: number): ControlConnection {
  const parts = { clock: systemClock, random: Math.random, logger: silent }
  const timing = { timeoutMs: 10_000, retryIntervalMs: 100, ttlMs }
  const connection = new ControlConnection({ connectionString }, { ...parts, ...timing })
  onTestFinished(() => connection.close())
  return connection
}

async function settingOf(connection: ControlConnection, name: string): Promise<string | undefined> {
  const query = { sql: 'SELECT setting FROM pg_settings WHERE name = $1', parameters: [name] }
  const rows = await connection.execute(query as unknown as CompiledQuery<{ setting: string }>)
  return rows[0]?.setting
}

describe('a session', () => {
  test.each([
    [9_000, '9000', '3'],
    // However short or long the TTL: from a second to a minute.
    [100, '1000', '1'],
    [86_400_000, '60000', '20'],
  ])('with a TTL of %i ms ends when its client has vanished for %s ms', async (ttlMs, userTimeout, idle) => {
    const connection = connect(database.connectionString, ttlMs)
    expect(await settingOf(connection, 'tcp_user_timeout')).toBe(userTimeout)
    expect(await settingOf(connection, 'tcp_keepalives_idle')).toBe(idle)
    expect(await settingOf(connection, 'synchronous_commit')).toBe('off')
  })

  test('stays as it is where the schema is not installed yet', async () => {
    await using empty = await createTestDatabase({ empty: true })
    const connection = connect(empty.connectionString, 9_000)
    expect(await settingOf(connection, 'synchronous_commit')).toBe('on')
    expect(await settingOf(connection, 'tcp_user_timeout')).toBe('0')
  })

  test('that was given up is not asked again: the next question goes to the next one', async () => {
    await using proxy = await FaultProxy.to(database.connectionString)
    const connection = connect(proxy.through(database.connectionString), 9_000)
    await settingOf(connection, 'port')
    const query = { sql: 'SELECT 1 AS one', parameters: [] } as unknown as CompiledQuery<{ one: number }>
    for (let time = 0; time < 10; time++) {
      proxy.drop()
      await expect(connection.execute(query, { timeoutMs: 20 })).rejects.toMatchObject({
        code: 'PG_ELECT_CONNECTION',
        mayHaveTakenEffect: true,
      })
      proxy.pass()
      expect(await connection.execute(query)).toEqual([{ one: 1 }])
    }
  })

  test('that cannot be had leaves no doubt: nothing was asked', async () => {
    const connection = connect('postgres://nobody@127.0.0.1:1/none', 9_000)
    await expect(settingOf(connection, 'port')).rejects.toMatchObject({
      code: 'PG_ELECT_CONNECTION',
      mayHaveTakenEffect: false,
    })
  })
})

describe('a connection that dies in silence', () => {
  test('is found out by an observer, though nobody asks anything: it misses no change', async () => {
    await using proxy = await FaultProxy.to(database.connectionString)
    const { client, log } = openClient(
      { ...database, connectionString: proxy.through(database.connectionString) },
      { ttlMs: 3_000, queryTimeoutMs: 500 },
    )
    // Longer than the test may take: nothing but a change makes an observer look.
    const session = await database.connect()
    await session.query("SELECT elect.acquire_lease('silent', 'first', '1 hour')")
    const changes = client.election('silent').observe()
    const next = async () => (await changes.next()).value as LeadershipChange
    expect((await next()).leader).toMatchObject({ holder: 'first' })
    const change = next()
    // It is quiet now: the last that was asked is what it listens to.
    const isQuiet = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle'
      AND application_name = 'pg-elect' AND query LIKE '%get_channels%'`
    while ((await session.query(isQuiet)).rows.length === 0);
    proxy.drop()
    const { rows } = await session.query("SELECT token FROM elect.get_lease('silent')")
    await session.query("SELECT elect.transfer_lease('silent', $1, 'second')", [rows[0].token])
    await log.logged('lost a connection to the database')
    proxy.pass()
    expect((await change).leader).toMatchObject({ holder: 'second' })
    await changes.return()
  })
})

describe('an answer that is lost', () => {
  const ways: Readonly<Record<string, (client: PgElect, name: string) => Promise<Lease | null>>> = {
    tryAcquire: (client, name) => client.tryAcquire(name),
    'tryLock of a mutex': (client, name) => client.mutex(name).tryLock(),
    'tryLock of a mutex in the queue of the server': (client, name) =>
      client.mutex(name, { wait: 'queue' }).tryLock(),
  }

  test.each(Object.entries(ways))(
    'to %s locks nobody out: what was granted is given back',
    async (way, ask) => {
      await using proxy = await FaultProxy.to(database.connectionString)
      // Nothing expires while the test lasts.
      const timing = { ttlMs: 600_000, queryTimeoutMs: 500, retryIntervalMs: 20 }
      const { client } = openClient(
        { ...database, connectionString: proxy.through(database.connectionString) },
        timing,
      )
      await (await ask(client, way))?.release()
      proxy.drop('down')
      await expect(ask(client, way)).rejects.toMatchObject({ code: 'PG_ELECT_CONNECTION' })
      const session = await database.connect()
      const { rows } = await session.query('SELECT holder FROM elect.get_lease($1)', [way])
      // Otherwise it would prove nothing.
      expect(rows).toHaveLength(1)
      proxy.pass()
      const other = openClient(database, timing).client
      let lease: Lease | null = null
      while (lease === null) lease = await ask(other, way)
      expect(lease.isHeld).toBe(true)
      await lease.release()
    },
  )
})
