/** The SQL functions around waiting in line: one function each, as in `queries.ts`. */
import { sql } from 'kysely'
import {
  type AcquireRequest,
  type Candidacy,
  type CandidacyRow,
  type GrantRow,
  type LeaseAnswer,
  type Metadata,
  toAnswer,
  toCandidacy,
  toJson,
} from './queries.ts'
import { type ExecuteOptions, type Executor, expiresInMs, interval, only, run } from './sql-call.ts'

/** One who waits for a lease. */
export interface CandidateInfo {
  readonly candidate: string
  /** Larger ones go first. */
  readonly priority: number
  readonly metadata: Metadata | null
  readonly arrivedAt: Date
  /** Milliseconds until its place is void unless it is refreshed. */
  readonly expiresInMs: number
}

/** `elect.get_candidacy` */
export async function getCandidacy(
  executor: Executor,
  request: { name: string; holder: string },
  options?: ExecuteOptions,
): Promise<Candidacy> {
  const call = sql<CandidacyRow>`SELECT lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.get_candidacy(name => ${request.name}, holder => ${request.holder})`
  return toCandidacy(await only(run(executor, call, options)))
}

/**
 * `elect.renew_leases` and `elect.refresh_candidates` in one statement: the answers in the order of the requests. The places of one process
 * are all told of hand-offs in one session: `backend`, or the one that asks.
 */
export async function beat(
  executor: Executor,
  leases: readonly { name: string; token: number }[],
  places: readonly { name: string; holder: string; backend?: number | undefined }[],
  options?: ExecuteOptions,
): Promise<{ renewed: LeaseAnswer[]; stand: Candidacy[] }> {
  const renewal = sql`SELECT 0 AS part, ordinality, NULL::text AS lease, granted, holder, token, version, metadata, ${expiresInMs}, NULL::integer AS rank FROM elect.renew_leases(names => ${leases.map(({ name }) => name)}::text[], tokens => ${leases.map(({ token }) => token)}::bigint[]) WITH ORDINALITY`
  const refreshing = sql`SELECT 1 AS part, ordinality, lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.refresh_candidates(names => ${places.map(({ name }) => name)}::text[], holders => ${places.map(({ holder }) => holder)}::text[], backend => ${places[0]?.backend ?? null}) WITH ORDINALITY`
  const both =
    places.length === 0
      ? renewal
      : leases.length === 0
        ? refreshing
        : sql`${renewal} UNION ALL ${refreshing} ORDER BY part, ordinality`
  const rows = await run(executor, sql<CandidacyRow & GrantRow>`${both}`, options)
  return {
    renewed: rows.slice(0, leases.length).map(toAnswer),
    stand: rows.slice(leases.length).map(toCandidacy),
  }
}

/** `elect.leave_queue`; what was granted in the same moment is given back. */
export async function leaveQueue(
  executor: Executor,
  request: { name: string; holder: string },
  options?: ExecuteOptions,
): Promise<void> {
  const call = sql`SELECT elect.release_lease(name => q.lease, token => q.token) FROM elect.leave_queue(name => ${request.name}, holder => ${request.holder}) AS q WHERE q.granted`
  await run(executor, call, options)
}

/** `elect.get_candidates`: the next one first. */
export async function getCandidates(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<CandidateInfo[]> {
  const call = sql<{
    candidate: string
    priority: number
    metadata: Metadata | null
    arrived_at_ms: number
    expires_in_ms: number
  }>`SELECT candidate, priority, metadata, (extract(epoch FROM arrived_at) * 1000)::float8 AS arrived_at_ms, ${expiresInMs} FROM elect.get_candidates(name => ${name})`
  const rows = await run(executor, call, options)
  return rows.map((row) => ({
    candidate: row.candidate,
    priority: row.priority,
    metadata: row.metadata,
    arrivedAt: new Date(row.arrived_at_ms),
    expiresInMs: row.expires_in_ms,
  }))
}

/** `elect.transfer_lease` to one that waits in line; undefined: the first. */
export async function transferLease(
  executor: Executor,
  request: { name: string; token: number; successor: string | undefined },
  options?: ExecuteOptions,
): Promise<LeaseAnswer> {
  const call = sql<GrantRow>`SELECT granted, holder, token, version, metadata, ${expiresInMs} FROM elect.transfer_lease(name => ${request.name}, token => ${request.token}::bigint, successor => ${request.successor ?? null}, must_wait => true)`
  return toAnswer(await only(run(executor, call, options)))
}

/** `elect.request_step_down` */
export async function requestStepDown(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{ asked: boolean }>`SELECT elect.request_step_down(name => ${name}) AS asked`
  return (await only(run(executor, call, options))).asked
}

/** `elect.listen_here`: the channel of this session, and the session. */
export async function listenHere(
  executor: Executor,
  options?: ExecuteOptions,
): Promise<{ channel: string; backend: number }> {
  const call = sql<{
    channel: string
    backend: number
  }>`SELECT elect.listen_here() AS channel, pg_backend_pid() AS backend`
  return only(run(executor, call, options))
}

/** `elect.advisory_lock` */
export async function advisoryLock(
  executor: Executor,
  request: { name: string; longestMs: number },
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{
    locked: boolean
  }>`SELECT elect.advisory_lock(name => ${request.name}, longest => ${interval(request.longestMs)}) AS locked`
  return (await only(run(executor, call, options))).locked
}

/** `elect.acquire_queued` */
export async function acquireQueued(
  executor: Executor,
  request: Omit<AcquireRequest, 'priority'> & { longestMs: number },
  options?: ExecuteOptions,
): Promise<Candidacy> {
  const call = sql<CandidacyRow>`SELECT ${request.name}::text AS lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.acquire_queued(name => ${request.name}, holder => ${request.holder}, ttl => ${interval(request.ttlMs)}, metadata => ${toJson(request.metadata)}::jsonb, longest => ${interval(request.longestMs)})`
  return toCandidacy(await only(run(executor, call, options)))
}

/** `elect.release_queued` */
export async function releaseQueued(
  executor: Executor,
  request: { name: string; token: number },
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{
    released: boolean
  }>`SELECT elect.release_queued(name => ${request.name}, token => ${request.token}::bigint) AS released`
  return (await only(run(executor, call, options))).released
}

/** `elect.bind_lease` */
export async function bindLease(
  executor: Executor,
  request: { name: string; token: number; longestMs: number },
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{
    bound: boolean
  }>`SELECT elect.bind_lease(name => ${request.name}, token => ${request.token}::bigint, longest => ${interval(request.longestMs)}) AS bound`
  return (await only(run(executor, call, options))).bound
}

/** `elect.take_over` */
export async function takeOver(
  executor: Executor,
  request: AcquireRequest & { longestMs: number },
  options?: ExecuteOptions,
): Promise<LeaseAnswer> {
  const call = sql<GrantRow>`SELECT granted, holder, token, version, metadata, ${expiresInMs} FROM elect.take_over(name => ${request.name}, holder => ${request.holder}, ttl => ${interval(request.ttlMs)}, metadata => ${toJson(request.metadata)}::jsonb, priority => ${request.priority ?? 0}, longest => ${interval(request.longestMs)})`
  return toAnswer(await only(run(executor, call, options)))
}
