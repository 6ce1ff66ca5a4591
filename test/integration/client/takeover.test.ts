import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { LeaseLostError, PoolerError } from '../../../src/index.ts'
import { FaultProxy } from '../../faults/support/fault-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { aborted, openClient } from './clients.ts'
import { startContender } from './processes.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** Longer than any test: whoever takes over has not waited for an expiry. */
const LONG_MS = 300_000

/** Resolves once a session waits in the server for the end of the leader's connection. */
async function waitsInServer(): Promise<void> {
  const session = await database.connect()
  const text = `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS waits`
  while (!(await session.query<{ waits: boolean }>(text)).rows[0]?.waits);
  await session.end()
}

/** Resolves once the leader has bound its lease to its connection. */
async function isBound(name: string): Promise<void> {
  const session = await database.connect()
  const text = 'SELECT is_bound FROM elect.leases WHERE name = $1'
  while (!(await session.query<{ is_bound: boolean }>(text, [name])).rows[0]?.is_bound);
  await session.end()
}

describe('takeover by connection', () => {
  test('follows a leader that was killed at once, under a larger token', async () => {
    const { client } = openClient(database, { ttlMs: LONG_MS })
    const leader = await startContender(database, 'killed', LONG_MS, 'connection')
    leader.tell('lead')
    const { token } = await leader.reported('working')
    const succession = client.election('killed', { takeover: 'connection' }).campaign()
    await waitsInServer()
    await leader.kill('SIGKILL')
    const leadership = await succession
    expect(leadership.token).toBeGreaterThan(token)
    expect(leadership.isHeld).toBe(true)
  })

  test('chains: each successor binds the lease to its own connection', async () => {
    const tokens: number[] = []
    let last = await startContender(database, 'chain', LONG_MS, 'connection')
    last.tell('lead')
    tokens.push((await last.reported('working')).token)
    for (let round = 0; round < 3; round++) {
      await isBound('chain')
      const next = await startContender(database, 'chain', LONG_MS, 'connection')
      next.tell('lead')
      await waitsInServer()
      await last.kill('SIGKILL')
      tokens.push((await next.reported('working')).token)
      last = next
    }
    expect(tokens).toEqual(tokens.toSorted((one, other) => one - other))
  })

  test('a leader whose own connection is lost steps down at once', async () => {
    const { client } = openClient(database, { ttlMs: LONG_MS })
    const leadership = await client.election('own', { takeover: 'connection' }).campaign()
    await isBound('own')
    const session = await database.connect()
    await session.query(`SELECT pg_terminate_backend(pid) FROM pg_locks
      WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
    expect(await aborted(leadership.signal)).toBeInstanceOf(LeaseLostError)
    expect(leadership.isHeld).toBe(false)
    await session.end()
  })

  test('an orderly hand-over leaves the next leader bound, too', async () => {
    const [one, other] = [1, 2].map(() => openClient(database, { ttlMs: LONG_MS }).client)
    if (one === undefined || other === undefined) throw new Error('two clients')
    const first = one.election('orderly', { takeover: 'connection' })
    await first.campaign()
    await isBound('orderly')
    const succession = other.election('orderly', { takeover: 'connection' }).campaign()
    await waitsInServer()
    expect(await first.transfer()).toBe(true)
    const leadership = await succession
    await isBound('orderly')
    expect((await first.leader())?.token).toBe(leadership.token)
  })

  test('does not follow a leader that is up, however long one waits', async () => {
    const [one, other] = [1, 2].map(() => openClient(database, { ttlMs: 1_000 }).client)
    if (one === undefined || other === undefined) throw new Error('two clients')
    const leadership = await one.election('up', { takeover: 'connection' }).campaign()
    const { token } = leadership
    const stop = new AbortController()
    const succession = other.election('up', { takeover: 'connection' }).campaign({ signal: stop.signal })
    await waitsInServer()
    // Its lease has been renewed past the first one's end: five beats.
    const before = (await one.get('up'))?.version ?? 0
    for (let now = before; now < before + 5; now = (await one.get('up'))?.version ?? 0);
    expect(leadership.isHeld).toBe(true)
    expect((await one.get('up'))?.token).toBe(token)
    stop.abort(new Error('enough'))
    await expect(succession).rejects.toThrow('enough')
  })

  test('of a leader that is cut off lets none of its guarded writes through', async () => {
    const session = await database.connect()
    await session.query('CREATE TABLE ledger (entry text)')
    const proxy = await FaultProxy.to(database.connectionString)
    onTestFinished(() => proxy.close())
    const connectionString = proxy.through(database.connectionString)
    const { client: cutOff } = openClient(database, { connectionString, ttlMs: 3_000 })
    const old = await cutOff.election('cut', { takeover: 'connection' }).campaign()
    await isBound('cut')
    const { client: other } = openClient(database, { ttlMs: 3_000 })
    const succession = other.election('cut', { takeover: 'connection' }).campaign()
    await waitsInServer()

    // Nothing is heard of it any more, and its connection looks up to the server: its lease runs out.
    proxy.hold('up')
    proxy.hold('down')
    // It can still write on a connection of another way, as to a server that it reaches again.
    const write = (lease: typeof old, entry: string) =>
      lease.transaction(session, (trx) => trx.query('INSERT INTO ledger VALUES ($1)', [entry]))
    const successor = await succession
    await expect(write(old, 'stale')).rejects.toThrow(LeaseLostError)
    // Also where it does not look at its own deadline first.
    await session.query('BEGIN')
    await expect(
      session.query('SELECT elect.assert_lease($1, $2)', ['cut', old.token]),
    ).rejects.toMatchObject({ code: 'LE001' })
    await session.query('ROLLBACK')
    await write(successor, 'fresh')
    const { rows } = await session.query<{ entry: string }>('SELECT entry FROM ledger')
    expect(rows).toEqual([{ entry: 'fresh' }])
    await session.end()
    proxy.letGo()
  })

  test('is refused behind a pooler, which gives one session to several clients', async () => {
    const { client } = openClient(database, {
      ttlMs: LONG_MS,
      connection: { connectionString: database.connectionString, Client: undefined } as object,
    })
    // What tells a pooler is that it names another process than the server does.
    const pooled = client.election('pooled', { takeover: 'connection' })
    const { ControlConnection } = await import('../../../src/connection.ts')
    const isPooled = ControlConnection.prototype.isPooled
    ControlConnection.prototype.isPooled = async () => true
    onTestFinished(() => {
      ControlConnection.prototype.isPooled = isPooled
    })
    await expect(pooled.campaign()).rejects.toThrow(PoolerError)
    expect(pooled.state).toBe('follower')
    expect(await pooled.leader()).toBeNull()
  })
})

test('a campaign rides out a server that cannot be reached yet', async () => {
  const proxy = await FaultProxy.to(database.connectionString)
  const connectionString = proxy.through(database.connectionString)
  const { port } = proxy
  await proxy.close()
  const { client, log } = openClient(database, { connectionString })
  const campaign = client.election('late', { takeover: 'connection' }).campaign()
  await log.logged('could not connect, trying again')
  const again = await FaultProxy.to(database.connectionString, port)
  onTestFinished(() => again.close())
  expect((await campaign).isHeld).toBe(true)
})
