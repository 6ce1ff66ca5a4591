/**
 * One function per SQL function: typed arguments in, plain objects out. All SQL text of the client stands here, and it is no more
 * than calls with named arguments; the rules are in the functions themselves (`sql/`).
 */
import { sql } from 'kysely'
import pg from 'pg'
import {
  type ExecuteOptions,
  type Executor,
  expiresInMs,
  first,
  fixed,
  type Int8,
  integer,
  interval,
  intervalText,
  only,
  run,
} from './sql-call.ts'

export type { ExecuteOptions, Executor }

/** Free data that a holder shows to the others, such as `{ url: 'http://10.0.0.7:8080' }`: JSON of at most 4 KiB. */
export type Metadata = { readonly [key: string]: unknown }

/** The answer to a request for a lease. All but `granted` is null where nobody is known to hold it. */
export interface LeaseAnswer {
  /** Null: another transaction is at the row, which says nothing yet. */
  readonly granted: boolean | null
  readonly holder: string | null
  readonly token: number | null
  readonly version: number | null
  readonly metadata: Metadata | null
  /** Milliseconds until it expires; null: never. */
  readonly expiresInMs: number | null
}

/** How a contender stands. */
export interface Candidacy extends LeaseAnswer {
  /** The lease that the rest is about: of a shared lease, the share. */
  readonly lease: string | null
  /** How many go before it; null: it has no place in line. */
  readonly rank: number | null
}

/** Who holds a lease, as the database told it. */
export interface LeaseInfo {
  readonly holder: string
  /** Fencing token of the grant: larger with every grant, never reused. */
  readonly token: number
  /** Grows with every write of the lease, renewals too. */
  readonly version: number
  readonly metadata: Metadata | null
  readonly acquiredAt: Date
  /** Milliseconds until it expires unless it is renewed; null: never. */
  readonly expiresInMs: number | null
  /**
   * Whether its holder has not been heard of since a fail-over or a restore. Until it renews, or `expiresInMs` is over, nobody else is
   * granted the lease, as the true holder may be one that was lost with the last commits.
   */
  readonly inGrace: boolean
  /** Whether an operator has asked its holder to give it back. */
  readonly stepDownRequested: boolean
}

export interface GrantRow {
  granted: boolean | null
  holder: string | null
  token: Int8 | null
  version: Int8 | null
  metadata: Metadata | null
  expires_in_ms: number | null
}

export interface CandidacyRow extends GrantRow {
  lease: string | null
  rank: number | null
}

/** Field by field: it is read for each of many, and a copy of what {@link toAnswer} makes takes three times as long. */
export function toCandidacy(row: CandidacyRow): Candidacy {
  return {
    granted: row.granted,
    holder: row.holder,
    token: integer(row.token),
    version: integer(row.version),
    metadata: row.metadata,
    expiresInMs: row.expires_in_ms,
    lease: row.lease,
    rank: row.rank,
  }
}

export function toAnswer(row: GrantRow): LeaseAnswer {
  return {
    granted: row.granted,
    holder: row.holder,
    token: integer(row.token),
    version: integer(row.version),
    metadata: row.metadata,
    expiresInMs: row.expires_in_ms,
  }
}

/** `elect.schema_version` */
export async function schemaVersion(executor: Executor): Promise<number> {
  const row = await only(run(executor, sql<{ version: number }>`SELECT elect.schema_version() AS version`))
  return row.version
}

/** The process that serves this session, by the server's own word. */
export async function backendPid(executor: Executor): Promise<number> {
  return (await only(run(executor, sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`))).pid
}

/** What a contender asks for; with a priority it stands in line if it is refused. */
export interface AcquireRequest {
  readonly name: string
  readonly holder: string
  readonly ttlMs: number
  readonly metadata: Metadata | undefined
  readonly priority: number | undefined
  /** The session that is to be told of a hand-off; undefined: the one that asks. */
  readonly backend?: number | undefined
}

const acquireCall = fixed<
  CandidacyRow,
  [string, string, string, string | null, boolean, number, number | null]
>(
  (name, holder, ttl, metadata, wait, priority, backend) =>
    sql`SELECT ${name}::text AS lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.acquire_lease(name => ${name}, holder => ${holder}, ttl => ${ttl}::interval, metadata => ${metadata}::jsonb, wait => ${wait}, priority => ${priority}, backend => ${backend})`,
)

/** `elect.acquire_lease` */
export function acquireLease(
  executor: Executor,
  request: AcquireRequest,
  options?: ExecuteOptions,
): Promise<Candidacy> {
  const { name, holder, ttlMs, metadata, priority, backend = null } = request
  const [ttl, waits] = [intervalText(ttlMs), priority !== undefined]
  const rows = acquireCall(
    executor,
    options,
    name,
    holder,
    ttl,
    toJson(metadata),
    waits,
    priority ?? 0,
    backend,
  )
  return rows.then(toOnlyCandidacy)
}

function toOnlyCandidacy(rows: CandidacyRow[]): Candidacy {
  return toCandidacy(first(rows))
}

const acquireManyCall = fixed<CandidacyRow, [string[], string[], string[], (string | null)[] | null]>(
  (names, holders, ttls, metadata) =>
    sql`SELECT name AS lease, granted, holder, token, version, metadata, ${expiresInMs}, rank FROM elect.acquire_leases(names => ${names}::text[], holders => ${holders}::text[], ttls => ${ttls}::interval[], metadata_list => ${metadata}::jsonb[])`,
)

/** `elect.acquire_leases`, without places in line. @returns how to read each answer, in the order of the requests. */
export async function acquireLeases(
  executor: Executor,
  requests: readonly Pick<AcquireRequest, 'name' | 'holder' | 'ttlMs' | 'metadata'>[],
  options?: ExecuteOptions,
): Promise<(() => Candidacy)[]> {
  const names = requests.map(({ name }) => name)
  const holders = requests.map(({ holder }) => holder)
  const ttls = requests.map(({ ttlMs }) => intervalText(ttlMs))
  const isPlain = requests.every(({ metadata }) => metadata === undefined)
  const metadata = isPlain ? null : requests.map((request) => toJson(request.metadata))
  const rows = await acquireManyCall(executor, options, names, holders, ttls, metadata)
  return rows.map((row) => () => toCandidacy(row))
}

const releaseCall = fixed<{ released: boolean }, [string, number]>(
  (name, token) => sql`SELECT elect.release_lease(name => ${name}, token => ${token}::bigint) AS released`,
)

/** `elect.release_lease` */
export function releaseLease(
  executor: Executor,
  request: { name: string; token: number },
  options?: ExecuteOptions,
): Promise<boolean> {
  return releaseCall(executor, options, request.name, request.token).then(wasReleased)
}

function wasReleased(rows: { released: boolean }[]): boolean {
  return first(rows).released
}

const releaseManyCall = fixed<{ released: boolean | null }, [string[], number[]]>(
  (names, tokens) =>
    sql`SELECT released FROM elect.release_leases(names => ${names}::text[], tokens => ${tokens}::bigint[])`,
)

/** `elect.release_leases`: in the order of the requests; null: another transaction is at the row, and that one is to be asked alone. */
export async function releaseLeases(
  executor: Executor,
  requests: readonly { name: string; token: number }[],
  options?: ExecuteOptions,
): Promise<(boolean | null)[]> {
  const names = requests.map(({ name }) => name)
  const tokens = requests.map(({ token }) => token)
  const rows = await releaseManyCall(executor, options, names, tokens)
  return rows.map(({ released }) => released)
}

/** What a reader can know of a lease. */
export interface LeaseState {
  /** Null: nobody is known to hold it. */
  readonly lease: LeaseInfo | null
  /** How long it counts as held after a fail-over unless its holder renews it; null: it is not in its grace. */
  readonly graceMs: number | null
}

/** `elect.get_lease`: undefined if nobody is known to hold the lease. */
export async function getLease(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<LeaseInfo | undefined> {
  return (await getLeaseState(executor, name, options)).lease ?? undefined
}

/** `elect.get_lease`, with what it says of a lease that nobody is known to hold. */
export async function getLeaseState(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<LeaseState> {
  const call = sql<{
    holder: string | null
    token: Int8
    version: Int8
    metadata: Metadata | null
    acquired_at_ms: number
    expires_in_ms: number | null
    step_down_requested: boolean
    in_grace: boolean
  }>`SELECT holder, token, version, metadata, (extract(epoch FROM acquired_at) * 1000)::float8 AS acquired_at_ms, ${expiresInMs}, step_down_requested, in_grace FROM elect.get_lease(name => ${name})`
  const [row] = await run(executor, call, options)
  if (row === undefined) return { lease: null, graceMs: null }
  const graceMs = row.in_grace ? row.expires_in_ms : null
  if (row.holder === null) return { lease: null, graceMs }
  const lease = {
    holder: row.holder,
    token: integer(row.token) as number,
    version: integer(row.version) as number,
    metadata: row.metadata,
    acquiredAt: new Date(row.acquired_at_ms),
    expiresInMs: row.expires_in_ms,
    inGrace: row.in_grace,
    stepDownRequested: row.step_down_requested,
  }
  return { lease, graceMs }
}

/** `elect.compare_and_swap` */
export async function compareAndSwap(
  executor: Executor,
  request: { key: string; next: string | null; current: string | null; ttlMs: number | undefined },
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{
    swapped: boolean
  }>`SELECT elect.compare_and_swap(key => ${request.key}, next => ${request.next}, current => ${request.current}, ttl => ${interval(request.ttlMs)}) AS swapped`
  return (await only(run(executor, call, options))).swapped
}

/** `elect.compare_and_swap_version`: the new version, or null if the version had changed. */
export async function compareAndSwapVersion(
  executor: Executor,
  request: { key: string; next: string | null; version: number; ttlMs: number | undefined },
  options?: ExecuteOptions,
): Promise<number | null> {
  const call = sql<{
    version: Int8 | null
  }>`SELECT elect.compare_and_swap_version(key => ${request.key}, next => ${request.next}, version => ${request.version}::bigint, ttl => ${interval(request.ttlMs)}) AS version`
  return integer((await only(run(executor, call, options))).version)
}

/** `elect.try_advisory_lock` */
export async function tryAdvisoryLock(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{ locked: boolean }>`SELECT elect.try_advisory_lock(name => ${name}) AS locked`
  return (await only(run(executor, call, options))).locked
}

/** `elect.advisory_unlock` */
export async function advisoryUnlock(
  executor: Executor,
  name: string,
  options?: ExecuteOptions,
): Promise<boolean> {
  const call = sql<{ unlocked: boolean }>`SELECT elect.advisory_unlock(name => ${name}) AS unlocked`
  return (await only(run(executor, call, options))).unlocked
}

/**
 * The statements that begin a guarded transaction, for the driver's simple protocol: together they cost the one round trip that BEGIN
 * costs anyway. The protocol takes no parameters, so the values stand in the text, escaped by the driver.
 */
export function beginGuarded(guard: GuardRequest, isolationLevel: IsolationLevel | undefined): string {
  const begin =
    isolationLevel === undefined ? 'BEGIN' : `BEGIN ISOLATION LEVEL ${ISOLATION_LEVELS[isolationLevel]}`
  const name = pg.escapeLiteral(guard.name)
  return `${begin}; SELECT elect.assert_lease(name => ${name}, token => ${guard.token}, longest => '${guard.timeoutMs} milliseconds')`
}

/** What `elect.assert_lease` is asked. */
export interface GuardRequest {
  readonly name: string
  readonly token: number
  readonly timeoutMs: number
}

const ISOLATION_LEVELS = {
  'read committed': 'READ COMMITTED',
  'repeatable read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
} as const

/** Isolation of a guarded transaction. */
export type IsolationLevel = keyof typeof ISOLATION_LEVELS

/** `elect.assert_lease` */
export async function assertLease(executor: Executor, guard: GuardRequest): Promise<void> {
  await run(
    executor,
    sql`SELECT elect.assert_lease(name => ${guard.name}, token => ${guard.token}::bigint, longest => ${interval(guard.timeoutMs)})`,
  )
}

/** One operation of a lease, under the token of its leader. */
export interface OperationRequest {
  readonly name: string
  readonly token: number
  readonly operationKey: string
}

/** Where an operation stands, as `elect.begin_operation` answered. */
export interface OperationRecord {
  readonly state: 'begun' | 'done' | 'failed'
  readonly idempotencyKey: string
  readonly attempt: number
  readonly result: unknown
  readonly error: unknown
}

/** `elect.begin_operation`. Single words and text, so that no plugin or type parser of a user's own connection changes them. */
export async function beginOperation(
  executor: Executor,
  request: OperationRequest & { retryFailed: boolean },
  options?: ExecuteOptions,
): Promise<OperationRecord> {
  const call = sql<{
    state: OperationRecord['state']
    key: string
    attempt: number
    result: string | null
    error: string | null
  }>`SELECT state, idempotency_key AS key, attempt, result::text AS result, error::text AS error FROM elect.begin_operation(lease => ${request.name}, token => ${request.token}::bigint, operation_key => ${request.operationKey}, retry_failed => ${request.retryFailed})`
  const row = await only(run(executor, call, options))
  const { state, key, attempt } = row
  return { state, idempotencyKey: key, attempt, result: fromJson(row.result), error: fromJson(row.error) }
}

/** `elect.finish_operation` */
export async function finishOperation(
  executor: Executor,
  request: OperationRequest & { result: unknown },
  options?: ExecuteOptions,
): Promise<void> {
  const call = sql`SELECT elect.finish_operation(lease => ${request.name}, token => ${request.token}::bigint, operation_key => ${request.operationKey}, result => ${toJson(request.result)}::jsonb)`
  await run(executor, call, options)
}

/** `elect.fail_operation` */
export async function failOperation(
  executor: Executor,
  request: OperationRequest & { error: unknown },
  options?: ExecuteOptions,
): Promise<void> {
  const call = sql`SELECT elect.fail_operation(lease => ${request.name}, token => ${request.token}::bigint, operation_key => ${request.operationKey}, error => ${toJson(request.error)}::jsonb)`
  await run(executor, call, options)
}

export function toJson(value: unknown): string | null {
  return JSON.stringify(value) ?? null
}

function fromJson(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

/** `elect.listen`: the channel of each lease. */
export async function listen(
  executor: Executor,
  names: readonly string[],
  options?: ExecuteOptions,
): Promise<{ name: string; channel: string }[]> {
  const call = sql<{
    name: string
    channel: string
  }>`SELECT name, channel FROM elect.listen(names => ${names}::text[])`
  return run(executor, call, options)
}

/** `elect.unlisten` */
export async function unlisten(
  executor: Executor,
  names: readonly string[],
  options?: ExecuteOptions,
): Promise<void> {
  await run(executor, sql`SELECT elect.unlisten(names => ${names}::text[])`, options)
}
