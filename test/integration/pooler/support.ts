import pg from 'pg'
import { afterAll, beforeAll, beforeEach, onTestFinished } from 'vitest'
import type { PgElectOptions } from '../../../src/index.ts'
import { findPgbouncer, needPgbouncer, type Pgbouncer, startPgbouncer } from '../../support/pgbouncer.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from '../client/clients.ts'

/** So long that nothing is put right by an expiry: what is neither told nor looked for shows as a test that hangs. */
export const LONG_TTL_MS = 300_000

/** A database behind a pooler, and a session that goes past it. */
export interface PooledScene {
  readonly database: TestDatabase
  readonly pooler: Pgbouncer
  readonly session: pg.Client
  /** A client whose connection leads through the pooler. */
  open(options?: PgElectOptions): ReturnType<typeof openClient>
  /** A session of the pooler's, as another application has it. */
  connect(): Promise<pg.Client>
  /** A pool of connections through the pooler, as applications use. */
  pool(max: number): pg.Pool
}

/** Makes the scene before the first test, and ends it after the last. Without PgBouncer each test is skipped. */
export function usePooler(poolSize: number): PooledScene {
  const scene = {} as { -readonly [Part in keyof PooledScene]: PooledScene[Part] }
  beforeAll(async () => {
    if (findPgbouncer() === undefined) return
    scene.database = await createTestDatabase()
    scene.session = await scene.database.connect()
    scene.pooler = await startPgbouncer(scene.database.connectionString, { poolSize })
  })
  beforeEach(({ skip }) => needPgbouncer(skip))
  afterAll(async () => {
    await scene.pooler?.stop()
    await scene.database?.drop()
  })
  scene.open = (options = {}) => {
    const { connectionString } = scene.pooler
    return openClient({ ...scene.database, connectionString }, { pollIntervalMs: 100, ...options })
  }
  scene.connect = async () => {
    const client = new pg.Client({ connectionString: scene.pooler.connectionString })
    client.on('error', () => undefined)
    await client.connect()
    onTestFinished(() => client.end())
    return client
  }
  scene.pool = (max) => {
    const pool = new pg.Pool({ connectionString: scene.pooler.connectionString, max })
    pool.on('error', () => undefined)
    onTestFinished(() => pool.end())
    return pool
  }
  return scene
}

/** What comes next, for as long as there is something. */
export async function next<T>(changes: AsyncGenerator<T>): Promise<T> {
  const { value, done } = await changes.next()
  if (done === true) throw new Error('there are no more changes')
  return value
}
