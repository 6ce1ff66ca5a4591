import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts'

/** The answer of the functions that grant. Numbers rather than strings: all of them fit 53 bits. */
export interface Grant {
  readonly granted: boolean | null
  readonly holder: string | null
  readonly token: number | null
  readonly version: number | null
  readonly metadata: unknown
  readonly expiresInMs: number | null
}

/** A row of the table itself, which the functions do not show: for the owner's eyes. */
export interface StoredLease {
  readonly holder: string | null
  readonly token: number
  readonly version: number
  readonly epoch: number
  readonly metadata: unknown
  readonly acquired_at: Date
  readonly renewed_at: Date
  readonly expires_at: Date | null
  /** From the last write to the expiry. */
  readonly given: string | null
  readonly ttl: string | null
}

/** What a refusal looks like where nobody is known to hold the lease. */
export const nobodyKnown = {
  granted: false,
  holder: null,
  token: null,
  version: null,
  metadata: null,
  expiresInMs: null,
} as const

/** Gives the test file a database of its own, from before its first test to after its last. */
export function useDatabase(): Pick<TestDatabase, 'name' | 'connectionString' | 'connect'> {
  let database: TestDatabase | undefined
  const opened = () => {
    if (database === undefined) throw new Error('the database exists only while tests run')
    return database
  }
  beforeAll(async () => {
    database = await createTestDatabase()
  })
  afterAll(() => database?.drop())
  return {
    get name() {
      return opened().name
    },
    get connectionString() {
      return opened().connectionString
    },
    connect: (overrides) => opened().connect(overrides),
  }
}

export async function rowsOf<Row extends pg.QueryResultRow>(
  client: pg.Client,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  return (await client.query<Row>(text, values)).rows
}

/** The one row that the query returns; it is an error if there are none or more. */
export async function oneRow<Row extends pg.QueryResultRow>(
  client: pg.Client,
  text: string,
  values: unknown[] = [],
): Promise<Row> {
  const [row, ...others] = await rowsOf<Row>(client, text, values)
  if (row === undefined || others.length > 0) throw new Error(`not one row: ${text}`)
  return row
}

/** The first column of the one row that the query returns. */
export async function scalar<Value = unknown>(
  client: pg.Client,
  text: string,
  values: unknown[] = [],
): Promise<Value> {
  return Object.values(await oneRow(client, text, values))[0]
}

/** The server's error that the query ends with. To be called at once, so that no rejection stays unhandled. */
export async function failureOf(query: Promise<unknown>): Promise<pg.DatabaseError> {
  const result = await query.catch((error: unknown) => error)
  if (result instanceof pg.DatabaseError) return result
  throw new Error(`expected an error of the server, got ${JSON.stringify(result)}`)
}

/** The SQLSTATE that the query ends with; `00000` if it succeeds. */
export async function sqlStateOf(query: Promise<unknown>): Promise<string | undefined> {
  try {
    await query
    return '00000'
  } catch (error) {
    if (error instanceof pg.DatabaseError) return error.code
    throw error
  }
}

export const grantColumns = `granted, holder, token::float8, version::float8, metadata,
  (extract(epoch FROM expires_in) * 1000)::float8 AS "expiresInMs"`

export function acquire(
  client: pg.Client,
  name: string,
  holder: string,
  ttl = '15 seconds',
  metadata: unknown = null,
): Promise<Grant> {
  const text = `SELECT ${grantColumns}
    FROM elect.acquire_lease(name => $1, holder => $2, ttl => $3, metadata => $4)`
  return oneRow(client, text, [name, holder, ttl, metadata === null ? null : JSON.stringify(metadata)])
}

/** Acquires a lease that has to be vacant, and returns the token. */
export async function grantTo(
  client: pg.Client,
  name: string,
  holder: string,
  ttl?: string,
): Promise<number> {
  const { granted, token } = await acquire(client, name, holder, ttl)
  if (granted !== true || token === null) throw new Error(`${name} was not granted to ${holder}`)
  return token
}

export function renew(
  client: pg.Client,
  name: string,
  token: number,
  ttl: string | null = null,
): Promise<Grant> {
  const text = `SELECT ${grantColumns} FROM elect.renew_lease(name => $1, token => $2, ttl => $3)`
  return oneRow(client, text, [name, token, ttl])
}

export function transfer(client: pg.Client, name: string, token: number, successor: string): Promise<Grant> {
  const text = `SELECT ${grantColumns} FROM elect.transfer_lease(name => $1, token => $2, successor => $3)`
  return oneRow(client, text, [name, token, successor])
}

export function release(client: pg.Client, name: string, token: number): Promise<boolean> {
  return scalar(client, 'SELECT elect.release_lease(name => $1, token => $2)', [name, token])
}

export async function guard(client: pg.Client, name: string, token: number): Promise<void> {
  await client.query('SELECT elect.assert_lease(name => $1, token => $2)', [name, token])
}

export function swap(
  client: pg.Client,
  key: string,
  next: string | null,
  current: string | null,
  ttl: string | null = null,
): Promise<boolean> {
  const text = 'SELECT elect.compare_and_swap(key => $1, next => $2, current => $3, ttl => $4)'
  return scalar(client, text, [key, next, current, ttl])
}

/** The holder as get_lease tells it; undefined while the lease is vacant. */
export async function holderOf(client: pg.Client, name: string): Promise<string | undefined> {
  const rows = await rowsOf<{ holder: string }>(client, 'SELECT holder FROM elect.get_lease(name => $1)', [
    name,
  ])
  return rows[0]?.holder
}

export function stored(client: pg.Client, name: string): Promise<StoredLease> {
  const text = `SELECT holder, token::float8, version::float8, epoch::float8, metadata, acquired_at, renewed_at,
      expires_at, (expires_at - renewed_at)::text AS given, ttl::text
    FROM elect.leases WHERE name = $1`
  return oneRow(client, text, [name])
}

/** Waits, by the server's clock, until the lease has expired as the row says now. */
export async function untilExpired(client: pg.Client, ...names: string[]): Promise<void> {
  const text = "SELECT pg_sleep_until(max(expires_at) + '1 ms') FROM elect.leases WHERE name = ANY ($1)"
  await client.query(text, [names])
}

/** Asks again until the answer is yes: for what the server does in its own time, such as ending a session. */
export async function eventually(ask: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`not so within ${timeoutMs} ms: ${ask}`)
    await delay(5)
  }
}

/** Runs the work in a transaction that is rolled back, whatever the work does. */
export async function inTransaction<Result>(
  client: pg.Client,
  work: () => Promise<Result>,
  begin = 'BEGIN',
): Promise<Result> {
  await client.query(begin)
  try {
    return await work()
  } finally {
    await client.query('ROLLBACK')
  }
}
