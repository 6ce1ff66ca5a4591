/** A client whose leases are kept by one row, on a real server. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { CompiledQuery } from 'kysely'
import { ControlConnection } from '../../../src/connection.ts'
import type { Lease, PgElect } from '../../../src/index.ts'
import type pg from 'pg'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { aborted, openClient, TTL_MS } from './clients.ts'
import { startContender } from './processes.ts'

/** What is asked of the database from now on, each statement by the functions that it calls. */
function watchStatements() {
  const statements: string[] = []
  const execute = ControlConnection.prototype.execute
  const spy = vi.spyOn(ControlConnection.prototype, 'execute').mockImplementation(function (
    this: ControlConnection,
    query: CompiledQuery,
    ...rest
  ) {
    statements.push([...query.sql.matchAll(/elect\.(\w+)\(/g)].map(([, name]) => name).join(' '))
    return execute.call(this, query, ...rest) as never
  })
  onTestFinished(() => spy.mockRestore())
  const count = (name: string) => statements.filter((statement) => statement === name).length
  return {
    count,
    since: (place: number) => statements.slice(place),
    get length() {
      return statements.length
    },
    /** Resolves once that was asked that many times more. */
    asked: (name: string, more = 1) => {
      const before = count(name)
      return vi.waitUntil(() => count(name) >= before + more, { timeout: 20_000, interval: 5 })
    },
  }
}

async function openDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase()
  onTestFinished(() => database.drop())
  return database
}

async function leasesOf(client: PgElect, count: number): Promise<Lease[]> {
  const asked = Array.from({ length: count }, (_, place) => client.tryAcquire(`lease ${place}`))
  const leases = await Promise.all(asked)
  return leases.map((lease) => {
    if (lease === null) throw new Error('expected a lease')
    return lease
  })
}

/** Resolves once a session keeps all of these. */
async function allKept(session: pg.Client, names: readonly string[]): Promise<void> {
  const text = 'SELECT FROM elect.leases WHERE name = ANY ($1) AND session IS NOT NULL'
  while ((await session.query(text, [names])).rows.length < names.length);
}

const namesOf = (leases: readonly Lease[]) => leases.map(({ name }) => name)

describe('a client with a session', () => {
  test('keeps 200 leases by one statement a beat, for longer than their TTL', async () => {
    const database = await openDatabase()
    const { client, log } = openClient(database, { session: true })
    const session = await database.connect()
    const statements = watchStatements()
    const leases = await leasesOf(client, 200)
    await allKept(session, namesOf(leases))
    await statements.asked('renew_session')
    const from = statements.length
    // More than a TTL of beats.
    await statements.asked('renew_session', 4)
    expect(new Set(statements.since(from))).toEqual(new Set(['renew_session']))
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
    const { rows: kept } = await session.query('SELECT FROM elect.sessions')
    expect(kept).toHaveLength(1)
    expect(await Promise.all(leases.map((lease) => lease.release()))).not.toContain(false)
    expect(log.complaints).toEqual([])
    await client.close()
    const { rows } = await session.query(
      `SELECT (SELECT count(*) FROM elect.sessions)::integer AS sessions,
        (SELECT count(*) FROM elect.session_losses)::integer AS losses,
        (SELECT count(*) FROM elect.leases WHERE holder IS NOT NULL)::integer AS held`,
    )
    expect(rows).toEqual([{ sessions: 0, losses: 0, held: 0 }])
  })

  test('is told that one of its leases was taken away, and keeps the others', async () => {
    const database = await openDatabase()
    const { client } = openClient(database, { session: true })
    const session = await database.connect()
    const leases = await leasesOf(client, 3)
    const [first, taken, last] = leases as [Lease, Lease, Lease]
    await allKept(session, namesOf(leases))
    await session.query("SELECT elect.force_release($1, 'wanted elsewhere')", [taken.name])
    expect(await aborted(taken.signal)).toMatchObject({ code: 'PG_ELECT_LEASE_LOST', leaseName: taken.name })
    await first.renew()
    expect([first.isHeld, taken.isHeld, last.isHeld]).toEqual([true, false, true])
  })

  test('writes guarded while it holds the lease, and nothing after it has lost it', async () => {
    const database = await openDatabase()
    const { client } = openClient(database, { session: true })
    const session = await database.connect()
    await session.query('CREATE TABLE public.written (by text)')
    const [lease] = (await leasesOf(client, 1)) as [Lease]
    await allKept(session, [lease.name])
    const write = () =>
      lease.transaction(session, (guarded) => guarded.query("INSERT INTO public.written VALUES ('it')", []))
    await write()
    // Longer than the lease would have lasted by itself.
    const statements = watchStatements()
    await statements.asked('renew_session', 5)
    await write()
    const operator = await database.connect()
    await operator.query("SELECT elect.force_release($1, 'wanted elsewhere')", [lease.name])
    await expect(write()).rejects.toMatchObject({ code: 'PG_ELECT_LEASE_LOST' })
    const { rows } = await session.query('SELECT by FROM public.written')
    expect(rows).toHaveLength(2)
  })

  test('renews it soon after a lost connection, long before the next beat', async () => {
    const database = await openDatabase()
    // Nothing is due while the test lasts.
    const { client, log } = openClient(database, { session: true, ttlMs: 600_000, retryIntervalMs: 100 })
    const session = await database.connect()
    const [lease] = (await leasesOf(client, 1)) as [Lease]
    await lease.renew()
    const statements = watchStatements()
    await session.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg-elect'",
    )
    await log.logged('lost a connection to the database')
    await statements.asked('renew_session')
    expect(lease.isHeld).toBe(true)
  })

  test('hands a lease to the next in line, and takes one over', async () => {
    const database = await openDatabase()
    const [one, other] = [openClient(database, { session: true }), openClient(database, { session: true })]
    const session = await database.connect()
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const lease = await from.client.acquire('handed on')
      await allKept(session, ['handed on'])
      const next = to.client.acquire('handed on')
      await to.log.logged('waiting for a lease')
      expect(await lease.release()).toBe(true)
      const handed = await next
      await allKept(session, ['handed on'])
      expect(handed.token).toBeGreaterThan(lease.token)
      await handed.renew()
      await handed.release()
    }
    const { rows } = await session.query('SELECT FROM elect.session_losses')
    expect(rows).toEqual([])
  })

  test('keeps its leases under their tokens when another server has taken over', async () => {
    const database = await openDatabase()
    const { client } = openClient(database, { session: true })
    const session = await database.connect()
    const leases = await leasesOf(client, 300)
    await allKept(session, namesOf(leases))
    // The epoch that the server knows of is of another server.
    await session.query("SELECT setval('elect.epoch_identity', last_value # 1) FROM elect.epoch_identity")
    await session.query("SELECT setval('elect.epoch_server', last_value # 1) FROM elect.epoch_server")
    const statements = watchStatements()
    await statements.asked('open_session')
    await statements.asked('renew_session', 4)
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
    const { rows } = await session.query(
      'SELECT FROM elect.leases l JOIN elect.sessions s USING (session) JOIN elect.current_leases c ON c.name = l.name AND c.token = l.token WHERE s.epoch = l.epoch',
    )
    expect(rows).toHaveLength(300)
  })
})

test('a process that was killed is succeeded once its session has run out', async () => {
  const database = await openDatabase()
  const leader = await startContender(database, 'killed', TTL_MS, 'expiry', 'session')
  const session = await database.connect()
  leader.tell('lead')
  const { token } = await leader.reported('working')
  await allKept(session, ['killed'])
  const next = await startContender(database, 'killed', TTL_MS, 'expiry', 'session')
  next.tell('lead')
  // It stands in line.
  while ((await session.query('SELECT FROM elect.candidates')).rows.length === 0);
  await leader.kill('SIGKILL')
  const { rows: left } = await session.query(
    'SELECT FROM elect.sessions WHERE expires_at > clock_timestamp()',
  )
  expect(left).toHaveLength(1)
  const taken = await next.reported('working')
  expect(taken.token).toBeGreaterThan(token)
  // The session of the dead was ended before: nothing can renew it.
  const { rows } = await session.query(
    'SELECT FROM elect.sessions s WHERE NOT EXISTS (SELECT FROM elect.leases l WHERE l.session = s.session)',
  )
  expect(rows).toEqual([])
})
