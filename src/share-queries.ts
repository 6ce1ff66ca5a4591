/** The SQL functions of what several hold at once: one function each, as in `queries.ts`. */
import { sql } from 'kysely'
import {
  type AcquireRequest,
  type Candidacy,
  type CandidacyRow,
  type Metadata,
  toCandidacy,
  toJson,
} from './queries.ts'
import {
  type ExecuteOptions,
  type Executor,
  expiresInMs,
  type Int8,
  integer,
  interval,
  only,
  run,
} from './sql-call.ts'

/** Which share of a shared lease. */
export interface ShareRequest {
  /** To be the only holder. */
  readonly isExclusive: boolean
  /** How many there may be; null: any number. Kept from the first request on. */
  readonly capacity: number | null
}

/** One share that is held. */
export interface ShareInfo {
  /** The lease that it is, to the functions that take a name and a token. */
  readonly lease: string
  readonly holder: string
  /** Fencing token: larger than those of all earlier shares. */
  readonly token: number
  readonly metadata: Metadata | null
  readonly isExclusive: boolean
  readonly acquiredAt: Date
  /** Milliseconds until it expires unless it is renewed. */
  readonly expiresInMs: number
}

/** A shared lease. */
export interface SharedInfo {
  /** How many shares there may be; null: any number. */
  readonly capacity: number | null
  /** How many are held. */
  readonly held: number
  /** A barrier: shares up to this token have come together. */
  readonly openedToken: number | null
}

/** What a member of a group is to do about one partition. */
export interface PartitionInfo {
  readonly partition: number
  /** The lease that the partition is. */
  readonly lease: string
  /** Null: nobody has it. */
  readonly holder: string | null
  readonly token: number | null
  readonly expiresInMs: number | null
  readonly action: 'keep' | 'release' | 'acquire' | null
}

/** `elect.acquire_share` */
export async function acquireShare(
  executor: Executor,
  request: AcquireRequest & ShareRequest,
  options?: ExecuteOptions,
): Promise<Candidacy> {
  const { name, holder, ttlMs, priority, isExclusive, capacity } = request
  const call = sql<CandidacyRow>`SELECT lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.acquire_share(name => ${name}, holder => ${holder}, exclusive => ${isExclusive}, capacity => ${capacity}, ttl => ${interval(ttlMs)}, metadata => ${toJson(request.metadata)}::jsonb, wait => ${priority !== undefined}, priority => ${priority ?? 0}, backend => ${request.backend ?? null})`
  return toCandidacy(await only(run(executor, call, options)))
}

/** `elect.set_capacity` */
export async function setCapacity(
  executor: Executor,
  request: { name: string; capacity: number | null },
  options?: ExecuteOptions,
): Promise<void> {
  await run(
    executor,
    sql`SELECT elect.set_capacity(name => ${request.name}, capacity => ${request.capacity})`,
    options,
  )
}

/** `elect.get_shares`: the oldest first. */
export async function getShares(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<ShareInfo[]> {
  const call = sql<{
    lease: string
    holder: string
    token: Int8
    metadata: Metadata | null
    is_exclusive: boolean
    acquired_at_ms: number
    expires_in_ms: number
  }>`SELECT lease, holder, token, metadata, is_exclusive, (extract(epoch FROM acquired_at) * 1000)::float8 AS acquired_at_ms, ${expiresInMs} FROM elect.get_shares(name => ${name})`
  const rows = await run(executor, call, options)
  return rows.map((row) => ({
    lease: row.lease,
    holder: row.holder,
    token: integer(row.token) as number,
    metadata: row.metadata,
    isExclusive: row.is_exclusive,
    acquiredAt: new Date(row.acquired_at_ms),
    expiresInMs: row.expires_in_ms,
  }))
}

/** `elect.get_shared`: undefined if it was never used. */
export async function getShared(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<SharedInfo | undefined> {
  const call = sql<{
    capacity: number | null
    held: number
    opened_token: Int8 | null
  }>`SELECT capacity, held, opened_token FROM elect.get_shared(name => ${name})`
  const [row] = await run(executor, call, options)
  if (row === undefined) return undefined
  return { capacity: row.capacity, held: row.held, openedToken: integer(row.opened_token) }
}

/** `elect.enter_barrier` */
export async function enterBarrier(
  executor: Executor,
  request: Omit<AcquireRequest, 'priority'> & { parties: number },
  options?: ExecuteOptions,
): Promise<{ lease: string; token: number; expiresInMs: number; opened: boolean }> {
  const { name, holder, parties, ttlMs } = request
  const call = sql<{
    lease: string
    token: Int8
    expires_in_ms: number
    opened: boolean
  }>`SELECT lease, token, ${expiresInMs}, opened FROM elect.enter_barrier(name => ${name}, holder => ${holder}, parties => ${parties}, ttl => ${interval(ttlMs)}, metadata => ${toJson(request.metadata)}::jsonb)`
  const row = await only(run(executor, call, options))
  return {
    lease: row.lease,
    token: integer(row.token) as number,
    expiresInMs: row.expires_in_ms,
    opened: row.opened,
  }
}

/** `elect.get_assignment` */
export async function getAssignment(
  executor: Executor,
  request: { name: string; partitions: number; member: string },
  options?: ExecuteOptions,
): Promise<PartitionInfo[]> {
  const call = sql<{
    partition: number
    lease: string
    holder: string | null
    token: Int8 | null
    expires_in_ms: number | null
    action: PartitionInfo['action']
  }>`SELECT partition, lease, holder, token, ${expiresInMs}, action FROM elect.get_assignment(name => ${request.name}, partitions => ${request.partitions}, member => ${request.member})`
  const rows = await run(executor, call, options)
  return rows.map((row) => ({
    partition: row.partition,
    lease: row.lease,
    holder: row.holder,
    token: integer(row.token),
    expiresInMs: row.expires_in_ms,
    action: row.action,
  }))
}
