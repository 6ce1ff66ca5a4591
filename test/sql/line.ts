import type pg from 'pg'
import { type Grant, grantColumns, oneRow, rowsOf, scalar } from './leases.ts'

/** The answer to a contender that may wait. */
export interface Answer extends Grant {
  readonly rank: number | null
}

/** How a contender stands. */
export interface Standing extends Answer {
  readonly lease: string | null
}

export interface Wish {
  readonly ttl?: string
  readonly metadata?: unknown
  readonly wait?: boolean
  /** Null: asks only. */
  readonly priority?: number | null
}

/** Asks for the lease, and stands in line for it unless told otherwise. */
export function stand(client: pg.Client, name: string, holder: string, wish: Wish = {}): Promise<Answer> {
  const { ttl = '1 hour', metadata, wait = true, priority = 0 } = wish
  const text = `SELECT ${grantColumns}, rank FROM elect.acquire_lease(
    name => $1, holder => $2, ttl => $3, metadata => $4, wait => $5, priority => $6)`
  return oneRow(client, text, [
    name,
    holder,
    ttl,
    metadata === undefined ? null : JSON.stringify(metadata),
    wait,
    priority,
  ])
}

/** Puts them in line one after the other. */
export async function standAll(client: pg.Client, name: string, ...holders: string[]): Promise<void> {
  for (const holder of holders) {
    const { granted, rank } = await stand(client, name, holder)
    if (granted !== false || rank === null) throw new Error(`${holder} does not wait for ${name}`)
  }
}

export function candidacy(client: pg.Client, name: string, holder: string): Promise<Standing> {
  return oneRow(client, `SELECT lease, ${grantColumns}, rank FROM elect.get_candidacy($1, $2)`, [
    name,
    holder,
  ])
}

export function refresh(client: pg.Client, ...places: [name: string, holder: string][]): Promise<Standing[]> {
  const text = `SELECT lease, ${grantColumns}, rank FROM elect.refresh_candidates($1, $2)`
  return rowsOf(client, text, [places.map(([name]) => name), places.map(([, holder]) => holder)])
}

export function leave(client: pg.Client, name: string, holder: string): Promise<Standing> {
  return oneRow(client, `SELECT lease, ${grantColumns}, rank FROM elect.leave_queue($1, $2)`, [name, holder])
}

/** Those who wait, the next one first. */
export async function lineOf(client: pg.Client, name: string): Promise<string[]> {
  const rows = await rowsOf<{ candidate: string }>(client, 'SELECT candidate FROM elect.get_candidates($1)', [
    name,
  ])
  return rows.map(({ candidate }) => candidate)
}

/** All rows of the line, dead ones too: for the owner's eyes. */
export async function placesOf(client: pg.Client, name: string): Promise<string[]> {
  const text = 'SELECT candidate FROM elect.candidates WHERE lease = $1 ORDER BY priority DESC, arrival'
  return (await rowsOf<{ candidate: string }>(client, text, [name])).map(({ candidate }) => candidate)
}

/** What the owner of the tables alone can do: lets a place run out without anybody waiting for that. */
export async function voidPlace(owner: pg.Client, name: string, candidate: string): Promise<void> {
  const text = `UPDATE elect.candidates SET expires_at = clock_timestamp()
    WHERE lease = $1 AND candidate = $2`
  const { rowCount } = await owner.query(text, [name, candidate])
  if (rowCount !== 1) throw new Error(`${candidate} has no place in the line of ${name}`)
}

/** As if the lease had expired that long ago; or, where it is vacant, had been given back then. */
export async function endTerm(owner: pg.Client, name: string, ago = '0 seconds'): Promise<void> {
  const text = `UPDATE elect.leases SET expires_at = clock_timestamp() - $2::interval,
      renewed_at = least(renewed_at, clock_timestamp() - $2::interval)
    WHERE name = $1`
  await owner.query(text, [name, ago])
}

/** So many that the last one may not take a vacant lease for 100 seconds: no test takes that long. */
export const crowdSize = 400

/** Puts a crowd at the end of the line that nobody else can pass meanwhile. */
export async function crowd(owner: pg.Client, name: string): Promise<void> {
  const text = `INSERT INTO elect.candidates
      (lease, candidate, priority, is_exclusive, ttl, backend, arrived_at, seen_at, expires_at)
    SELECT $1, 'one of many ' || n, 0, true, '1 hour', 0, clock_timestamp(), clock_timestamp(), clock_timestamp() + '1 hour'
    FROM generate_series(1, $2::int) n`
  await owner.query(text, [name, crowdSize])
}

/** The advisory locks that the session of this client has. */
export function locksOf(client: pg.Client): Promise<number> {
  const text = `SELECT count(*)::int FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()`
  return scalar(client, text)
}

/**
 * For what waits no longer than a part of a second in the server: a round in which this machine was too slow for that
 * returns undefined, says nothing, and is made again.
 */
export async function inTime<Result>(
  round: (attempt: number) => Promise<Result | undefined>,
): Promise<Result> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const result = await round(attempt)
    if (result !== undefined) return result
  }
  throw new Error('none of 20 rounds was made in time')
}
