/** A client whose leases are kept by one row, on a real server. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { CompiledQuery } from 'kysely'
import { ControlConnection } from '../../../src/connection.ts'
import type { Lease, PgElect } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { aborted, openClient, TTL_MS } from './clients.ts'

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

describe('a client with a session', () => {
  test('keeps 200 leases by one statement a beat, for longer than their TTL', async () => {
    const database = await openDatabase()
    const { client, log } = openClient(database, { session: true })
    const session = await database.connect()
    const statements = watchStatements()
    const leases = await leasesOf(client, 200)
    await statements.asked('renew_session')
    const { rows: bound } = await session.query(
      'SELECT count(*)::integer AS leases, count(DISTINCT session)::integer AS sessions FROM elect.leases WHERE session IS NOT NULL',
    )
    const from = statements.length
    await statements.asked('renew_session', 4)
    // More than a TTL of beats.
    expect(new Set(statements.since(from))).toEqual(new Set(['renew_session']))
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
    expect(bound).toEqual([{ leases: 200, sessions: 1 }])
    expect(await Promise.all(leases.map((lease) => lease.release()))).not.toContain(false)
    expect(log.complaints).toEqual([])
    await client.close()
    const { rows } = await session.query(
      'SELECT (SELECT count(*) FROM elect.sessions)::integer AS sessions, (SELECT count(*) FROM elect.session_losses)::integer AS losses, (SELECT count(*) FROM elect.leases WHERE holder IS NOT NULL)::integer AS held',
    )
    expect(rows).toEqual([{ sessions: 0, losses: 0, held: 0 }])
  })
})
