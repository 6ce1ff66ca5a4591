/** The SQL functions of sessions, by which one row keeps many leases: one function each, as in `queries.ts`. */
import { sql } from 'kysely'
import { type GrantRow, type LeaseAnswer, toAnswer } from './queries.ts'
import {
  type ExecuteOptions,
  type Executor,
  expiresInMs,
  fixed,
  type Int8,
  integer,
  interval,
  only,
  run,
} from './sql-call.ts'

/** So many leases in one statement: each is decided by itself, and what is asked meanwhile waits. */
export const TOGETHER_MAX = 250

/** A grant, by what the database knows it. */
export interface HeldLease {
  readonly name: string
  readonly token: number
}

/** What became of a session as it was renewed. */
export interface SessionAnswer {
  /** False: it has ended. Null: another transaction is at it, which says nothing yet. */
  readonly granted: boolean | null
  readonly expiresInMs: number | null
  /** It cannot be renewed any more, but its leases may be kept by another one. */
  readonly mustReopen: boolean
  /** Leases that were taken from it since it was opened: each time all of them. */
  readonly lost: readonly HeldLease[]
}

/** `elect.open_session` */
export async function openSession(
  executor: Executor,
  request: { holder: string; ttlMs: number },
  options?: ExecuteOptions,
): Promise<string> {
  const call = sql<{
    session: string
  }>`SELECT elect.open_session(holder => ${request.holder}, ttl => ${interval(request.ttlMs)}) AS session`
  return (await only(run(executor, call, options))).session
}

interface SessionRow {
  granted: boolean | null
  expires_in_ms: number | null
  must_reopen: boolean | null
  lost_names: string[] | null
  lost_tokens: Int8[] | null
}

const renewCall = fixed<SessionRow, [string]>(
  (session) =>
    sql`SELECT granted, ${expiresInMs}, must_reopen, to_jsonb(lost_names) AS lost_names, to_jsonb(lost_tokens) AS lost_tokens FROM elect.renew_session(session => ${session}::uuid)`,
)

/** `elect.renew_session` */
export async function renewSession(
  executor: Executor,
  session: string,
  options?: ExecuteOptions,
): Promise<SessionAnswer> {
  const row = await only(renewCall(executor, options, session))
  const tokens = row.lost_tokens ?? []
  return {
    granted: row.granted,
    expiresInMs: row.expires_in_ms,
    mustReopen: row.must_reopen === true,
    lost: (row.lost_names ?? []).map((name, index) => ({
      name,
      token: integer(tokens[index] ?? null) as number,
    })),
  }
}

/** `elect.end_session`: whether it had not ended before. */
export async function endSession(
  executor: Executor,
  session: string,
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{ ended: boolean }>`SELECT elect.end_session(session => ${session}::uuid) AS ended`
  return (await only(run(executor, call, options))).ended
}

const renewLeasesCall = fixed<GrantRow, [string[], number[], string | null]>(
  (names, tokens, session) =>
    sql`SELECT granted, holder, token, version, metadata, ${expiresInMs} FROM elect.renew_leases(names => ${names}::text[], tokens => ${tokens}::bigint[], session => ${session}::uuid)`,
)

/**
 * `elect.renew_leases`, after which they are kept by that session; null: each by itself. The answers in the order of the leases.
 */
export async function renewLeasesIn(
  executor: Executor,
  session: string | null,
  leases: readonly HeldLease[],
  options?: ExecuteOptions,
): Promise<LeaseAnswer[]> {
  const rows = await renewLeasesCall(executor, options, namesOf(leases), tokensOf(leases), session)
  return rows.map(toAnswer)
}

const releaseCall = fixed<{ released: boolean }, [string, number, string]>(
  (name, token, session) =>
    sql`SELECT elect.release_lease(name => ${name}, token => ${token}::bigint, session => ${session}::uuid) AS released`,
)

/** `elect.release_lease`, of a lease that this session may keep. */
export async function releaseLeaseIn(
  executor: Executor,
  session: string,
  { name, token }: HeldLease,
  options?: ExecuteOptions,
): Promise<boolean> {
  return (await only(releaseCall(executor, options, name, token, session))).released
}

const releaseManyCall = fixed<{ released: boolean | null }, [string[], number[], string]>(
  (names, tokens, session) =>
    sql`SELECT released FROM elect.release_leases(names => ${names}::text[], tokens => ${tokens}::bigint[], session => ${session}::uuid)`,
)

/** `elect.release_leases`, of leases that this session may keep: as `releaseLeases`. */
export async function releaseLeasesIn(
  executor: Executor,
  session: string,
  leases: readonly HeldLease[],
  options?: ExecuteOptions,
): Promise<(boolean | null)[]> {
  const rows = await releaseManyCall(executor, options, namesOf(leases), tokensOf(leases), session)
  return rows.map(({ released }) => released)
}

function namesOf(leases: readonly HeldLease[]): string[] {
  return leases.map(({ name }) => name)
}

function tokensOf(leases: readonly HeldLease[]): number[] {
  return leases.map(({ token }) => token)
}
