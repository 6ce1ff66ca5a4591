import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type PgElect, PoolerError } from '../../../src/index.ts'
import { needPgbouncer, startPgbouncer } from '../../support/pgbouncer.ts'
import { createTestDatabase } from '../../support/postgres/database.ts'
import { openClient } from '../client/clients.ts'
import { nameProcess } from './naming-proxy.ts'
import { LONG_TTL_MS, usePooler } from './support.ts'

const scene = usePooler(1)

const lockCount = async () => {
  const { rows } = await scene.session.query<{ locks: number }>(
    `SELECT count(*)::int AS locks FROM pg_locks
     WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  )
  return rows[0]?.locks
}

// What the rest of this is about, seen with the driver alone; else these tests could pass without a shared session.
describe('clients that share a session', () => {
  test('both get the advisory lock that one of them should have', async () => {
    const clients = [await scene.connect(), await scene.connect()]
    for (const client of clients) {
      const { rows } = await client.query("SELECT elect.try_advisory_lock('shared') AS locked")
      expect(rows).toEqual([{ locked: true }])
    }
    await clients[0]?.query('SELECT pg_advisory_unlock_all()')
  })

  test('have the settings of each other', async () => {
    const [ada, bob] = [await scene.connect(), await scene.connect()]
    await ada.query('SET work_mem = 77000')
    expect((await bob.query('SHOW work_mem')).rows).toEqual([{ work_mem: '77000kB' }])
    await ada.query('RESET work_mem')
  })

  test('hear nothing of what they listen to, or hear what the other listens to', async () => {
    const [ada, bob] = [await scene.connect(), await scene.connect()]
    const heard: string[] = []
    ada.on('notification', ({ payload = '' }) => void heard.push(`ada ${payload}`))
    bob.on('notification', ({ payload = '' }) => void heard.push(`bob ${payload}`))
    await ada.query('LISTEN anything')
    await scene.session.query("NOTIFY anything, 'one'")
    await bob.query('SELECT 1')
    await scene.session.query("NOTIFY anything, 'two'")
    await bob.query('SELECT 1')
    await ada.query('UNLISTEN *')
    expect(heard.filter((line) => line.startsWith('ada'))).toEqual([])
  })
})

const needing: [what: string, use: (client: PgElect) => Promise<unknown>][] = [
  ['tryAdvisoryLock', (client) => client.tryAdvisoryLock('refused')],
  ['a fast mutex: lock', (client) => client.fastMutex('refused').lock()],
  ['a fast mutex: tryLock', (client) => client.fastMutex('refused').tryLock()],
  ['a fast mutex: withLock', (client) => client.fastMutex('refused').withLock(() => undefined)],
  ['a mutex in the queue: lock', (client) => client.mutex('refused', { wait: 'queue' }).lock()],
  ['a mutex in the queue: tryLock', (client) => client.mutex('refused', { wait: 'queue' }).tryLock()],
  [
    'takeover by connection: campaign',
    (client) => client.election('refused', { takeover: 'connection' }).campaign(),
  ],
  [
    'takeover by connection: lead',
    (client) => client.election('refused', { takeover: 'connection' }).lead(() => undefined),
  ],
]

describe('what needs a session of its own is refused, and leaves no lock behind:', () => {
  test.each(needing)('%s', async (_what, use) => {
    const { client } = scene.open()
    const outcome = await use(client).catch((error: unknown) => error)
    expect(outcome).toBeInstanceOf(PoolerError)
    expect(outcome).toMatchObject({
      code: 'PG_ELECT_POOLER',
      message: expect.stringMatching(/needs a session of its own, but a connection pooler is in between/),
    })
    expect(await lockCount()).toBe(0)
    // The lease of that name is there for all.
    expect((await client.tryAcquire('refused'))?.isHeld).toBe(true)
  })

  test('also where a connection for LISTEN is given, as that is for nothing else', async () => {
    const { client } = scene.open({ listenConnectionString: scene.database.connectionString })
    await expect(client.tryAdvisoryLock('refused')).rejects.toThrow(PoolerError)
    await expect(client.fastMutex('refused').lock()).rejects.toThrow(PoolerError)
  })

  test('installing a schema, unless it is up to date', async () => {
    const { client } = scene.open()
    await client.install()
    await using empty = await createTestDatabase({ empty: true })
    await using pooler = await startPgbouncer(empty.connectionString, { poolSize: 1 })
    const { client: first } = openClient({ ...empty, connectionString: pooler.connectionString })
    await expect(first.install()).rejects.toThrow(PoolerError)
    const session = await empty.connect()
    expect((await session.query("SELECT to_regnamespace('elect') AS schema")).rows).toEqual([
      { schema: null },
    ])
    await first.close()
  })
})

test.each([
  ['statement_timeout', { statement_timeout: 1000 }],
  ['lock_timeout', { lock_timeout: 1000 }],
  ['options', { options: '-c work_mem=1MB' }],
])('%s of the connection is refused by the pooler, and that is told at once', async (name, setting) => {
  const { client } = scene.open({ connection: setting })
  const asking = client.acquire('refused').catch((error: unknown) => error)
  const outcome = await asking
  expect(outcome).toBeInstanceOf(PoolerError)
  expect(outcome).toMatchObject({ message: expect.stringContaining(name) })
})

test('a session is given back as it was: no setting, prepared statement, LISTEN or lock of one client is left for the next', async () => {
  const other = await scene.connect()
  const state = async () => {
    const settings = `SELECT name, setting FROM pg_settings
      WHERE source NOT IN ('default', 'override', 'configuration file', 'command line') AND name <> 'application_name' ORDER BY 1`
    return {
      settings: (await other.query(settings)).rows,
      statements: (await other.query("SELECT name FROM pg_prepared_statements WHERE name <> ''")).rows,
      channels: (await other.query('SELECT pg_listening_channels()')).rows,
      locks: await lockCount(),
      commits: (await other.query('SHOW synchronous_commit')).rows,
    }
  }
  const before = await state()
  expect(before).toMatchObject({
    statements: [],
    channels: [],
    locks: 0,
    commits: [{ synchronous_commit: 'on' }],
  })

  const clients = [scene.open({ ttlMs: LONG_TTL_MS }), scene.open({ ttlMs: LONG_TTL_MS })]
  const [ada, bob] = clients.map(({ client }) => client) as [PgElect, PgElect]
  const pool = scene.pool(2)
  const changes = ada.election('state').observe()
  await changes.next()
  const lease = await ada.acquire('state')
  // Each of these more often than a plain statement is prepared anew.
  for (let time = 0; time < 3; time++) {
    await lease.renew()
    await lease.transaction(pool, (trx) => trx.query('SELECT 1'), {
      timeoutMs: 500,
      isolationLevel: 'serializable',
    })
    await bob.compareAndSwapVersion(
      'state key',
      `${time}`,
      (await bob.register('state key').get())?.version ?? 0,
    )
    await bob.semaphore('state permits', { permits: 1 }).tryAcquire()
    await ada.tryAdvisoryLock('state').catch(() => undefined)
    expect(await state()).toEqual(before)
  }
  const waiting = bob.acquire('state')
  await clients[1]?.log.logged('waiting for a lease')
  await lease.release()
  await (await waiting).release()
  await changes.return()
  expect(await state()).toEqual(before)
})

test('a pooler that happens to name the right process is found out, as the session was there before', async () => {
  const driver = await scene.connect()
  const text =
    'SELECT pid FROM pg_stat_get_activity(pg_backend_pid()) WHERE backend_start < clock_timestamp() - $1::interval'
  // The session has to be older than what a connection may take.
  while ((await driver.query(text, ['2 seconds'])).rowCount === 0) await driver.query('SELECT pg_sleep(0.2)')
  const backend = (await driver.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid
  const connectionString = await nameProcess(scene.pooler.connectionString, backend)
  const named = new pg.Client({ connectionString })
  named.on('error', () => undefined)
  await named.connect()
  expect(named).toMatchObject({ processID: backend })
  await named.end()
  const { client } = scene.open({ connectionString })
  await expect(client.tryAdvisoryLock('named')).rejects.toThrow(PoolerError)
  expect((await client.tryAcquire('named'))?.isHeld).toBe(true)
  expect((await driver.query('SHOW synchronous_commit')).rows).toEqual([{ synchronous_commit: 'on' }])
})

test('a pooler in session mode is taken for one that shares sessions: it cannot be told from here', async ({
  skip,
}) => {
  needPgbouncer(skip)
  await using pooler = await startPgbouncer(scene.database.connectionString, {
    poolSize: 4,
    poolMode: 'session',
  })
  const driver = new pg.Client({ connectionString: pooler.connectionString })
  driver.on('error', () => undefined)
  await driver.connect()
  onTestFinished(() => driver.end())
  const { processID } = driver as unknown as { processID: number }
  expect((await driver.query('SELECT pg_backend_pid() AS pid')).rows[0]?.pid).not.toBe(processID)
  const { client } = openClient({ ...scene.database, connectionString: pooler.connectionString })
  await expect(client.tryAdvisoryLock('session mode')).rejects.toThrow(PoolerError)
  await client.close()
})
