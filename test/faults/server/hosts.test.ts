/** Several servers in one connection: the client finds the one that can be written to, and does not stick to one that is not any more. */
import { describe, expect, test } from 'vitest'
import { ConnectionError, type PgElectOptions, ServerError } from '../../../src/index.ts'
import { aborted, openClient } from '../../integration/client/clients.ts'
import type { TestDatabase } from '../../support/postgres/database.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { type FaultServer, quietPort, startFaultServer } from '../support/server.ts'
import { startStandby } from '../support/standby.ts'

const settings = { fsync: 'off' }
/** Each test starts one or two servers. */
const TIMEOUT_MS = 120_000

/** A connection string with these ports, in that order. */
function urlOf(server: FaultServer, ports: readonly number[], parameters = ''): string {
  const { username, password } = new URL(server.connectionString)
  return urlFor(`${username}:${password}`, ports, parameters)
}

function urlFor(credentials: string, ports: readonly number[], parameters = ''): string {
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',')
  return `postgres://${credentials}@${hosts}/postgres${parameters}`
}

function open(connectionString: string, options: PgElectOptions = {}) {
  return openClient({ connectionString } as TestDatabase, options)
}

/** How many sessions of clients there are. */
async function sessionsOn(server: FaultServer): Promise<number> {
  return server.ask(async (session) => {
    const text = "SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'pg-elect'"
    return (await session.query<{ count: number }>(text)).rows[0]?.count ?? 0
  })
}

async function holderOn(server: FaultServer, name: string): Promise<string | undefined> {
  return server.ask(async (session) => {
    const text = 'SELECT holder FROM elect.get_lease($1)'
    return (await session.query<{ holder: string }>(text, [name])).rows[0]?.holder
  })
}

async function setReadOnly(server: FaultServer, isReadOnly: boolean): Promise<void> {
  await server.ask(async (session) => {
    // Or nothing could be changed back.
    await session.query('SET default_transaction_read_only = off')
    await session.query(`ALTER SYSTEM SET default_transaction_read_only = ${isReadOnly}`)
    await session.query('SELECT pg_reload_conf()')
  })
  // Told to all sessions once new ones have it.
  const shows = () =>
    server.ask(async (session) => {
      const { rows } = await session.query<{ is: string }>(
        "SELECT current_setting('default_transaction_read_only') AS is",
      )
      return rows[0]?.is
    })
  while ((await shows()) !== (isReadOnly ? 'on' : 'off'));
}

describe('a primary and its standby', { timeout: TIMEOUT_MS }, () => {
  test('the primary is found behind the standby, by everything that writes', async () => {
    const primary = await startFaultServer(settings)
    const standby = await startStandby(primary)
    const { client } = open(urlOf(primary, [standby.port, primary.port]))
    await client.install()
    await using lease = await client.acquire('found')
    expect(await holderOn(primary, 'found')).toBe(lease.holder)
    expect(await client.compareAndSwap('key', 'v1', null)).toBe(true)
    await using queued = await client.mutex('queued', { wait: 'queue' }).lock()
    expect(queued.isHeld).toBe(true)
    await using fast = await client.fastMutex('fast').lock()
    expect(fast.isHeld).toBe(true)
    expect(await sessionsOn(standby)).toBe(0)
  })

  test('the standby renews nothing and locks nothing, and says that it is read-only', async () => {
    const primary = await startFaultServer(settings)
    const standby = await startStandby(primary)
    const calls = [
      "elect.renew_leases('{a}', '{1}')",
      "elect.renew_lease('a', 1)",
      "elect.acquire_lease('a', 'b')",
      "elect.acquire_leases('{a}', '{b}', '{1 s}')",
      "elect.release_leases('{a}', '{1}')",
      "elect.try_advisory_lock('a')",
      "elect.try_advisory_xact_lock('a')",
      "elect.advisory_lock('a')",
      "elect.prune_leases('1 day')",
      "elect.new_epoch('a test')",
    ]
    await standby.ask(async (session) => {
      for (const call of calls) {
        await expect(session.query(`SELECT ${call}`), call).rejects.toMatchObject({ code: '25006' })
      }
      const { rows } = await session.query(
        "SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory'",
      )
      expect(rows).toEqual([{ count: 0 }])
      expect((await session.query("SELECT * FROM elect.get_lease('a')")).rows).toEqual([])
    })
  })

  test('reads go to the standby, and to the primary while that is gone', async () => {
    const primary = await startFaultServer(settings)
    const standby = await startStandby(primary)
    const both = [primary.port, standby.port]
    const { client, log } = open(urlOf(primary, both), {
      readConnectionString: urlOf(primary, both, '?target_session_attrs=standby'),
    })
    await using lease = await client.acquire('read there')
    await standby.catchUp()
    await standby.cutStream()
    await lease.renew()
    const seen = await client.get('read there')
    expect(seen).toMatchObject({ holder: lease.holder, token: lease.token })
    expect(await sessionsOn(standby)).toBe(1)
    // What the standby has not heard of shows where a read went.
    await client.compareAndSwap('unheard of', 'here', null)
    expect(await client.get('unheard of')).toBeNull()
    await standby.kill()
    expect((await client.get('unheard of'))?.holder).toBe('here')
    expect(
      log.lines.some(
        ({ message }) => message === 'readConnection cannot be asked now, reading from the primary',
      ),
    ).toBe(true)
  })

  test('a leader goes on on the standby that was promoted, under its token', async () => {
    const primary = await startFaultServer(settings)
    const standby = await startStandby(primary)
    const { client, log } = open(urlOf(primary, [primary.port, standby.port]), { ttlMs: 20_000 })
    const leadership = await client.election('goes on').campaign()
    await standby.catchUp()
    await primary.kill()
    await log.logged('lost a connection to the database')
    await standby.promote()
    // The next beats find it by themselves.
    const version = async () =>
      standby.ask(async (session) => {
        const text =
          "SELECT version::float8 AS version, token::float8 AS token FROM elect.get_lease('goes on')"
        return (await session.query<{ version: number; token: number }>(text)).rows[0]
      })
    const before = await version()
    let now = before
    while (now?.version === before?.version) now = await version()
    expect(now?.token).toBe(leadership.token)
    expect(leadership.isHeld).toBe(true)
    await leadership.release()
  })
})

describe('two servers of which one can be written to', { timeout: TIMEOUT_MS }, () => {
  async function two() {
    const first = await startFaultServer(settings)
    const second = await startFaultServer(settings)
    // One URL for both needs one password.
    for (const server of [first, second]) {
      await server.ask((session) =>
        session.query("CREATE ROLE app LOGIN PASSWORD 'secret' IN ROLE elect_user"),
      )
    }
    return { first, second, url: urlFor('app:secret', [first.port, second.port]) }
  }

  test('is demoted under way: the client moves to the other, and back again', async () => {
    const { first, second, url } = await two()
    const { client, log } = open(url, { retryIntervalMs: 20 })
    const one = await client.acquire('one')
    expect(await sessionsOn(first)).toBe(1)
    await setReadOnly(first, true)
    // Its lease is on the first: to the second it is not held.
    await aborted(one.signal)
    expect(log.lines.filter(({ message }) => message === 'lost a connection to the database')).toHaveLength(1)
    await using other = await client.acquire('two')
    expect(await holderOn(second, 'two')).toBe(other.holder)
    expect(await sessionsOn(first)).toBe(0)

    await setReadOnly(first, false)
    await setReadOnly(second, true)
    await using three = await client.acquire('three')
    expect(await holderOn(first, 'three')).toBe(three.holder)
  })

  test('refuses to write, though it is a primary: the client turns to the other', async () => {
    const { first, second, url } = await two()
    const { client, log } = open(`${url}?target_session_attrs=primary`, { retryIntervalMs: 20 })
    await client.get('nothing')
    expect(await sessionsOn(first)).toBe(1)
    await setReadOnly(first, true)
    await using lease = await client.acquire('refused there')
    expect(await holderOn(second, 'refused there')).toBe(lease.holder)
    await log.logged('lost a connection to the database')
  })

  test('an observer that writes nothing moves, too', async () => {
    const { first, second, url } = await two()
    const { client, log } = open(url, { retryIntervalMs: 20, ttlMs: 3_000 })
    const changes = client.election('watched').observe()
    await changes.next()
    const change = changes.next()
    await setReadOnly(first, true)
    await log.logged('lost a connection to the database')
    await second.ask((session) =>
      session.query("SELECT elect.acquire_lease('watched', 'somebody', '1 hour')"),
    )
    expect((await change).value).toMatchObject({ leader: { holder: 'somebody' } })
    await changes.return()
  })

  test('nothing can be written anywhere: it is said, tried again, and then goes on', async () => {
    const { first, second, url } = await two()
    await Promise.all([setReadOnly(first, true), setReadOnly(second, true)])
    const { client, log } = open(url, { retryIntervalMs: 20 })
    const failure = await client.tryAcquire('nowhere').catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(ConnectionError)
    expect(failure).toMatchObject({
      message: `No host will do. 127.0.0.1:${first.port}: The server is read-only, and one to write to is wanted; 127.0.0.1:${second.port}: The server is read-only, and one to write to is wanted`,
      mayHaveTakenEffect: false,
    })
    const acquiring = client.acquire('nowhere')
    await log.logged('could not ask for a lease, trying again', 3)
    await setReadOnly(second, false)
    await using lease = await acquiring
    expect(await holderOn(second, 'nowhere')).toBe(lease.holder)
    expect(log.complaints.map(({ message }) => message)).toEqual([
      'cannot connect to the database, trying again',
    ])
  })
})

describe('hosts that cannot be reached', { timeout: TIMEOUT_MS }, () => {
  test('are passed over: nobody listens at one, another says nothing', async () => {
    const server = await startFaultServer(settings)
    await using mute = await FaultProxy.to(server.connectionString)
    mute.drop()
    const ports = [await quietPort(), mute.port, server.port]
    const { client } = open(urlOf(server, ports), { queryTimeoutMs: 300 })
    await using lease = await client.acquire('behind them')
    expect(lease.isHeld).toBe(true)
    expect(mute.connections).toBeGreaterThan(0)
    // From the last good one on.
    const asked = mute.connections
    await server.terminateSessions()
    // What is asked while the sessions end may still go to one of these.
    for (let isRenewed = false; !isRenewed; ) {
      isRenewed = await lease.renew().then(
        () => true,
        (error: unknown) => {
          if (error instanceof ConnectionError) return false
          throw error
        },
      )
    }
    expect(mute.connections).toBe(asked)
  })
})

describe('one host', { timeout: TIMEOUT_MS }, () => {
  test('that is read-only for a while is tried again until it is not', async () => {
    const server = await startFaultServer(settings)
    const { client, log } = open(server.connectionString, { retryIntervalMs: 20 })
    await client.get('nothing')
    await setReadOnly(server, true)
    const failure = await client.tryAcquire('later').catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(ServerError)
    expect(failure).toMatchObject({ sqlState: '25006' })
    const acquiring = client.acquire('later')
    await log.logged('could not ask for a lease, trying again', 3)
    await setReadOnly(server, false)
    await using lease = await acquiring
    expect(lease.isHeld).toBe(true)
  })
})
