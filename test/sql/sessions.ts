/** Sessions as the tests of them need them: opened, renewed, and moved in time by their row. */
import type pg from 'pg'
import { type Grant, grantColumns, oneRow, rowsOf, scalar } from './leases.ts'

/** The answer of renew_session. */
export interface SessionRenewal {
  readonly granted: boolean | null
  readonly expiresInMs: number | null
  readonly mustReopen: boolean
  readonly lost: readonly (readonly [name: string, token: number])[]
}

export function openSession(client: pg.Client, holder: string, ttl = '15 seconds'): Promise<string> {
  return scalar(client, 'SELECT elect.open_session(holder => $1, ttl => $2)', [holder, ttl])
}

export async function renewSession(client: pg.Client, session: string): Promise<SessionRenewal> {
  const text = `SELECT granted, (extract(epoch FROM expires_in) * 1000)::float8 AS "expiresInMs", must_reopen AS "mustReopen",
      lost_names AS names, lost_tokens::float8[] AS tokens
    FROM elect.renew_session($1)`
  type Row = Omit<SessionRenewal, 'lost'> & { names: string[] | null; tokens: number[] | null }
  const { names, tokens, ...answer } = await oneRow<Row>(client, text, [session])
  return { ...answer, lost: (names ?? []).map((name, place) => [name, tokens?.[place] ?? Number.NaN]) }
}

export function endSession(client: pg.Client, session: string): Promise<boolean> {
  return scalar(client, 'SELECT elect.end_session($1)', [session])
}

export function acquireIn(
  client: pg.Client,
  session: string | null,
  name: string,
  holder: string,
): Promise<Grant> {
  const text = `SELECT ${grantColumns} FROM elect.acquire_lease($1, $2, session => $3)`
  return oneRow(client, text, [name, holder, session])
}

/** Acquires a lease that has to be vacant, to be kept by the session, and returns its token. */
export async function keepIn(
  client: pg.Client,
  session: string,
  name: string,
  holder: string,
): Promise<number> {
  const { granted, token } = await acquireIn(client, session, name, holder)
  if (granted !== true || token === null) throw new Error(`${name} was not granted to ${holder}`)
  return token
}

/** Has the lease with that token be kept by another session, or, null, by a ttl of its own. */
export function renewIn(
  client: pg.Client,
  session: string | null,
  name: string,
  token: number,
  ttl: string | null = null,
): Promise<Grant> {
  const text = `SELECT ${grantColumns} FROM elect.renew_lease($1, $2, $3, session => $4)`
  return oneRow(client, text, [name, token, ttl, session])
}

export function releaseIn(client: pg.Client, session: string, name: string, token: number): Promise<boolean> {
  return scalar(client, 'SELECT elect.release_lease($1, $2, session => $3)', [name, token, session])
}

/** Lets the session have run out some time ago; its row stays. */
export async function expireSession(client: pg.Client, session: string, ago = '1 second'): Promise<void> {
  await client.query(
    `UPDATE elect.sessions SET renewed_at = clock_timestamp() - $2::interval - ttl, expires_at = clock_timestamp() - $2::interval
     WHERE session = $1`,
    [session, ago],
  )
}

/** Moves the row of the session ahead: what it looks like once the clock of the server has gone back. */
export async function moveSessionAhead(client: pg.Client, session: string, by = '1 hour'): Promise<void> {
  await client.query(
    `UPDATE elect.sessions SET opened_at = opened_at + $2::interval, renewed_at = renewed_at + $2::interval,
       expires_at = expires_at + $2::interval
     WHERE session = $1`,
    [session, by],
  )
}

/** Waits, by the server's clock, until the session has run out as its row says now. */
export async function untilSessionExpired(client: pg.Client, session: string): Promise<void> {
  await client.query("SELECT pg_sleep_until(expires_at + '1 ms') FROM elect.sessions WHERE session = $1", [
    session,
  ])
}

/** Whether the session has a row. */
export async function isThere(client: pg.Client, session: string): Promise<boolean> {
  return (await rowsOf(client, 'SELECT FROM elect.sessions WHERE session = $1', [session])).length > 0
}

/** The session that the row of the lease names. */
export function keeperOf(client: pg.Client, name: string): Promise<string | null> {
  return scalar(client, 'SELECT session FROM elect.leases WHERE name = $1', [name])
}

/**
 * Renews the session shortly before its end, in a transaction that is open, and waits until all others see it run out: nobody can
 * know yet whether it goes on.
 *
 * @param renewing - has a transaction open
 * @param other - another connection
 */
export async function renewLate(renewing: pg.Client, other: pg.Client, session: string): Promise<void> {
  await other.query(
    "UPDATE elect.sessions SET expires_at = clock_timestamp() + interval '400 milliseconds' WHERE session = $1",
    [session],
  )
  const { granted } = await renewSession(renewing, session)
  if (granted !== true) throw new Error('the session was not renewed')
  await untilSessionExpired(other, session)
}
