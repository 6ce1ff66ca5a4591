import type pg from 'pg'
import { afterAll, beforeAll, expect } from 'vitest'
import { InvalidArgumentError, type PgElect } from '../../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../../support/postgres/database.ts'

/** A database of the test file's own, and a session that looks at it. */
export interface Scene {
  readonly database: TestDatabase
  readonly session: pg.Client
}

/** Makes the scene before the first test, and drops it after the last. */
export function useScene(): Scene {
  const scene = {} as { database: TestDatabase; session: pg.Client }
  beforeAll(async () => {
    scene.database = await createTestDatabase()
    scene.session = await scene.database.connect()
  })
  afterAll(() => scene.database.drop())
  return scene
}

/** How many places in line and shares there are of that name, held or run out. */
export async function countOf(
  session: pg.Client,
  name: string,
): Promise<{ waiting: number; shares: number }> {
  const { rows } = await session.query<{ waiting: number; shares: number }>(
    `SELECT (SELECT count(*)::int FROM elect.candidates WHERE lease = $1) AS waiting,
            (SELECT count(*)::int FROM elect.leases WHERE part_of = $1) AS shares`,
    [name],
  )
  return rows[0] as { waiting: number; shares: number }
}

/** Looks until it is so. Each look is a round trip to the server, and the test's own timeout ends it. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) {}
}

/** Resolves once there are that many places in line and shares. */
export async function whenCount(
  session: pg.Client,
  name: string,
  wanted: { waiting?: number; shares?: number },
): Promise<void> {
  await until(async () => {
    const { waiting, shares } = await countOf(session, name)
    return waiting === (wanted.waiting ?? waiting) && shares === (wanted.shares ?? shares)
  })
}

/** Ends every session of the clients of a database, as an administrator or a restart would. */
export async function endSessions(session: pg.Client): Promise<void> {
  await session.query(
    `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'pg-elect'`,
  )
}

/** A call that is refused for its arguments, and what the refusal says. */
export type BadCall = readonly [what: string, call: (client: PgElect) => unknown, message: RegExp]

/** Checks that a call is refused by the client itself: nobody has been asked. */
export async function expectRefusal(client: PgElect, call: BadCall[1], message: RegExp): Promise<void> {
  const error: unknown = await (async () => call(client))().catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(InvalidArgumentError)
  expect((error as Error).message).toMatch(message)
  // What the database refuses comes with its report.
  expect((error as Error).cause).toBeUndefined()
}
