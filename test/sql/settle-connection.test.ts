import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { backendPid } from '../support/postgres/session.ts'
import { acquire, failureOf, inTransaction, rowsOf, scalar, useDatabase } from './leases.ts'
import { createRole } from './roles.ts'

const database = useDatabase()

/** The settings that a session is settled by, as the server reads them: milliseconds, or seconds where it says so. */
const NAMES = [
  'client_connection_check_interval',
  'synchronous_commit',
  'tcp_keepalives_count',
  'tcp_keepalives_idle',
  'tcp_keepalives_interval',
  'tcp_user_timeout',
]

async function settingsOf(session: pg.Client): Promise<Record<string, string>> {
  const rows = await rowsOf<{ name: string; setting: string }>(
    session,
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    [NAMES],
  )
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
}

async function settle(session: pg.Client, deadAfter: string, backend?: number): Promise<boolean> {
  const text = 'SELECT elect.settle_connection(backend => $1, dead_after => $2::interval)'
  return scalar(session, text, [backend ?? (await backendPid(session)), deadAfter])
}

/** Sockets of other kinds know no such options. */
async function byTcp(session: pg.Client): Promise<boolean> {
  return scalar(session, 'SELECT inet_client_addr() IS NOT NULL')
}

describe('settle_connection', () => {
  test('ends a dead session within about that time, and lets it commit lazily, from then on', async () => {
    const session = await database.connect()
    expect(await byTcp(session)).toBe(true)
    expect(await settle(session, '18 seconds')).toBe(true)
    const settled = {
      client_connection_check_interval: '6000',
      synchronous_commit: 'off',
      tcp_keepalives_count: '3',
      tcp_keepalives_idle: '6',
      tcp_keepalives_interval: '3',
      tcp_user_timeout: '18000',
    }
    expect(await settingsOf(session)).toEqual(settled)
    // In the transactions that follow, whatever becomes of them.
    await session.query('BEGIN')
    await session.query('ROLLBACK')
    expect(await settingsOf(session)).toEqual(settled)
  })

  test('leaves other sessions as they are', async () => {
    const [settled, other] = [await database.connect(), await database.connect()]
    const before = await settingsOf(other)
    await settle(settled, '10 seconds')
    expect(await settingsOf(other)).toEqual(before)
    expect(await settingsOf(await database.connect())).toEqual(before)
  })

  test('is never so short that a lost packet ends a session', async () => {
    const session = await database.connect()
    await settle(session, '100 milliseconds')
    expect(await settingsOf(session)).toMatchObject({
      client_connection_check_interval: '333',
      tcp_keepalives_idle: '1',
      tcp_keepalives_interval: '1',
      tcp_user_timeout: '1000',
    })
  })

  test('keeps what is stricter', async () => {
    const session = await database.connect()
    const strict = { tcp_user_timeout: '2000', tcp_keepalives_idle: '1', tcp_keepalives_count: '2' }
    for (const [name, value] of Object.entries(strict)) await session.query(`SET ${name} = ${value}`)
    await session.query(
      "SET synchronous_commit = 'remote_apply'; SET client_connection_check_interval = '50ms'",
    )
    expect(await settle(session, '3 minutes')).toBe(true)
    expect(await settingsOf(session)).toMatchObject({
      ...strict,
      synchronous_commit: 'remote_apply',
      client_connection_check_interval: '50',
      tcp_keepalives_interval: '30',
    })
  })

  test.each(['on', 'local', 'remote_write'])('lets a session that commits %s commit lazily', async (mode) => {
    const session = await database.connect()
    await session.query(`SET synchronous_commit = ${mode}`)
    await settle(session, '15 seconds')
    expect(await settingsOf(session)).toMatchObject({ synchronous_commit: 'off' })
  })

  test('sets nothing in a session that a pooler lends: the client knows another process', async () => {
    const [session, other] = [await database.connect(), await database.connect()]
    const before = await settingsOf(session)
    expect(await settle(session, '15 seconds', await backendPid(other))).toBe(false)
    expect(await settle(session, '15 seconds', 0)).toBe(false)
    expect(await scalar(session, 'SELECT elect.settle_connection(null)')).toBe(false)
    expect(await settingsOf(session)).toEqual(before)
  })

  test('works where nothing can be written', async () => {
    const session = await database.connect()
    await session.query('SET default_transaction_read_only = on')
    expect(await settle(session, '15 seconds')).toBe(true)
    expect(await settingsOf(session)).toMatchObject({ tcp_user_timeout: '15000' })
  })

  test('is for readers, too, up to the longest time', async () => {
    const session = await database.connect()
    const { name } = await createRole(await database.connect())
    await session.query(`GRANT elect_reader TO ${name}`)
    await session.query(`SET ROLE ${name}`)
    expect(await settle(session, '24 hours')).toBe(true)
    expect(await settingsOf(session)).toMatchObject({
      tcp_user_timeout: '86400000',
      synchronous_commit: 'off',
    })
  })

  test.each([
    ['null', 'null'],
    ["'00:00:00.099'", '00:00:00.099'],
    ["'25 hours'", '25:00:00'],
    ["'1 month'", '1 mon'],
  ])('refuses %s', async (bad, shown) => {
    const session = await database.connect()
    const before = await settingsOf(session)
    const failure = await failureOf(
      session.query(`SELECT elect.settle_connection(pg_backend_pid(), ${bad}::interval)`),
    )
    expect(failure).toMatchObject({
      code: '22023',
      message: `Invalid dead_after: expected 100 milliseconds to 24 hours without months, got ${shown}`,
    })
    expect(await settingsOf(session)).toEqual(before)
  })
})

describe('get_channels', () => {
  const channels = async (session: pg.Client) =>
    (await rowsOf<{ channel: string }>(session, 'SELECT channel FROM elect.get_channels()')).map(
      ({ channel }) => channel,
    )

  test('tells what this session listens to, and no other', async () => {
    const [session, other] = [await database.connect(), await database.connect()]
    expect(await channels(session)).toEqual([])
    const here = await scalar<string>(session, 'SELECT elect.listen_here()')
    await session.query("SELECT elect.listen('{one,two}')")
    await other.query("SELECT elect.listen('{three}')")
    const one = await scalar<string>(session, "SELECT elect.lease_channel('one')")
    const two = await scalar<string>(session, "SELECT elect.lease_channel('two')")
    expect((await channels(session)).toSorted()).toEqual([here, one, two].toSorted())
    await session.query("SELECT elect.unlisten('{one}')")
    expect((await channels(session)).toSorted()).toEqual([here, two].toSorted())
    await session.query('DISCARD ALL')
    expect(await channels(session)).toEqual([])
    expect(await channels(other)).toHaveLength(1)
  })
})

describe('a client that hides warnings', () => {
  test('is told all the same when it is granted something, and only then', async () => {
    const session = await database.connect()
    await session.query('SET client_min_messages = error')
    const shown = () => scalar<string>(session, "SELECT current_setting('client_min_messages')")
    await inTransaction(session, async () => {
      await acquire(session, 'warned', 'ada')
      expect(await shown()).toBe('warning')
    })
    expect(await shown()).toBe('error')
    await session.query('SET client_min_messages = notice')
    await inTransaction(session, async () => {
      await acquire(session, 'warned too', 'ada')
      expect(await shown()).toBe('notice')
    })
  })
})
