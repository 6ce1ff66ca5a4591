/**
 * Every error of this package is a {@link PgElectError} with a stable `code`; this file is the one place where the server's
 * SQLSTATEs become classes.
 */

/** Stable codes: compare with these, not with messages. */
export type ErrorCode =
  | 'PG_ELECT_INVALID_ARGUMENT'
  | 'PG_ELECT_LEASE_LOST'
  | 'PG_ELECT_VALUE_MISSING'
  | 'PG_ELECT_TIMEOUT'
  | 'PG_ELECT_BUSY'
  | 'PG_ELECT_CONNECTION'
  | 'PG_ELECT_ACCESS_DENIED'
  | 'PG_ELECT_SCHEMA_MISSING'
  | 'PG_ELECT_SCHEMA_NEWER'
  | 'PG_ELECT_POOLER'
  | 'PG_ELECT_OPERATION_FAILED'
  | 'PG_ELECT_ROLLED_BACK'
  | 'PG_ELECT_ALREADY_CAMPAIGNING'
  | 'PG_ELECT_RESIGNED'
  | 'PG_ELECT_NO_CANDIDATE'
  | 'PG_ELECT_CLOSED'
  | 'PG_ELECT_SERVER'

/** Base class. */
export class PgElectError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** An argument or option is wrong; the message says what was expected and what came. Nothing was written. */
export class InvalidArgumentError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super('PG_ELECT_INVALID_ARGUMENT', message, options)
  }
}

/** The lease is not held any more: expired, overtaken, taken away or given back. Stop the work that it covers. */
export class LeaseLostError extends PgElectError {
  /** Name of the lease. */
  readonly leaseName: string

  constructor(leaseName: string, why: string, options?: ErrorOptions) {
    super('PG_ELECT_LEASE_LOST', `Lease ${JSON.stringify(leaseName)} is not held any more: ${why}`, options)
    this.leaseName = leaseName
  }
}

/** `compareAndSwap` expected a value but found the key empty (SQLSTATE LE002). */
export class ValueMissingError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super('PG_ELECT_VALUE_MISSING', message, options)
  }
}

/** What was waited for did not come within the `timeoutMs` that the caller gave. */
export class AcquireTimeoutError extends PgElectError {
  constructor(leaseName: string, timeoutMs: number) {
    super('PG_ELECT_TIMEOUT', `Timed out after ${timeoutMs} ms of waiting for ${JSON.stringify(leaseName)}`)
  }
}

/** Another transaction was in the way for too long, such as a guarded one that is still open (SQLSTATE 55P03). Try again. */
export class BusyError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super('PG_ELECT_BUSY', message, options)
  }
}

/**
 * The server cannot be reached, did not answer in time, or the connection broke. Whether the request took effect is unknown, unless
 * `mayHaveTakenEffect` is false.
 */
export class ConnectionError extends PgElectError {
  /** False: the request was never sent, as there was no connection to send it on. */
  readonly mayHaveTakenEffect: boolean

  /** Whether the server itself said so, over a connection that may still be up, rather than nobody having answered. */
  get isReported(): boolean {
    return isServerReport(this.cause)
  }

  constructor(message: string, options: ErrorOptions & { mayHaveTakenEffect?: boolean } = {}) {
    super('PG_ELECT_CONNECTION', message, options)
    this.mayHaveTakenEffect = options.mayHaveTakenEffect ?? true
  }
}

/** The database role may not do this (SQLSTATE 42501), or was not let in. */
export class AccessDeniedError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super('PG_ELECT_ACCESS_DENIED', message, options)
  }
}

/** Schema `elect` is not in this database, or older than this package. */
export class SchemaMissingError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super(
      'PG_ELECT_SCHEMA_MISSING',
      `${message}. Call install(), or run sql/install.sql, as a role that may`,
      options,
    )
  }
}

/** The schema in the database is newer than this package. */
export class SchemaNewerError extends PgElectError {
  constructor(found: number, known: number) {
    super(
      'PG_ELECT_SCHEMA_NEWER',
      `Schema elect has version ${found}, newer than version ${known} that this package installs. Upgrade the package`,
    )
  }
}

/** A connection pooler in transaction mode is in the way of something that needs a session of its own. */
export class PoolerError extends PgElectError {
  constructor(message: string, options?: ErrorOptions) {
    super('PG_ELECT_POOLER', message, options)
  }
}

/** An operation has failed before, and was not to be tried again; `recorded` is what its work threw then. */
export class OperationFailedError extends PgElectError {
  /** As it was recorded: JSON, `{ name, message }` where an Error was thrown. */
  readonly recorded: unknown

  constructor(operationKey: string, recorded: unknown) {
    super(
      'PG_ELECT_OPERATION_FAILED',
      `Operation ${JSON.stringify(operationKey)} has failed before and is not tried again`,
    )
    this.recorded = recorded
  }
}

/** The server rolled a guarded transaction back at its COMMIT, because a statement in it had failed and the error was passed over. */
export class RolledBackError extends PgElectError {
  constructor() {
    super(
      'PG_ELECT_ROLLED_BACK',
      'The guarded transaction was rolled back at its commit: a statement in it had failed, and the error was not passed on',
    )
  }
}

/** One election object campaigns once at a time: it is a candidate, or leads, already. */
export class AlreadyCampaigningError extends PgElectError {
  constructor(electionName: string, state: string) {
    super(
      'PG_ELECT_ALREADY_CAMPAIGNING',
      `Cannot campaign for ${JSON.stringify(electionName)}: expected a follower, but it is ${state} already`,
    )
  }
}

/** Why a leadership's signal aborted after `resign()`. */
export class ResignedError extends PgElectError {
  constructor(leaseName: string) {
    super('PG_ELECT_RESIGNED', `The leader of ${JSON.stringify(leaseName)} resigned`)
  }
}

/** A leadership could not be handed on: nobody, or not the one who was named, waits for it. Its leader leads on. */
export class NoCandidateError extends PgElectError {
  constructor(leaseName: string, successor: string | undefined) {
    super(
      'PG_ELECT_NO_CANDIDATE',
      `Cannot transfer ${JSON.stringify(leaseName)}: expected ${successor === undefined ? 'a candidate in line' : `${JSON.stringify(successor)} in line`}, but there is none`,
    )
  }
}

/** The client was closed, or is about to be. */
export class ClosedError extends PgElectError {
  constructor() {
    super('PG_ELECT_CLOSED', 'The client is closed')
  }
}

/** Anything else that the server refused; `sqlState` says what. */
export class ServerError extends PgElectError {
  readonly sqlState: string

  constructor(sqlState: string, message: string, options?: ErrorOptions) {
    super('PG_ELECT_SERVER', `${message} (SQLSTATE ${sqlState})`, options)
    this.sqlState = sqlState
  }
}

/** What pg tells of an error that the server reported. */
interface ServerReport extends Error {
  readonly code: string
  readonly detail?: string
  readonly where?: string
}

/**
 * Whether the server refused something because the lease is not held: LE001; or 40001 of the guard itself, which at REPEATABLE READ and
 * SERIALIZABLE means that the lease was granted to somebody else since the snapshot. A 40001 of the user's own rows is not meant.
 */
export function saysLeaseLost(error: unknown): boolean {
  if (!isServerReport(error)) return false
  return (
    error.code === 'LE001' || (error.code === '40001' && /\belect\.prove_lease\b/.test(error.where ?? ''))
  )
}

function isServerReport(error: unknown): error is ServerReport {
  return (
    error instanceof Error &&
    'code' in error &&
    /^[0-9A-Z]{5}$/.test(String(error.code)) &&
    'severity' in error
  )
}

/**
 * Turns what the driver threw into an error of this package; errors of this package pass through.
 *
 * @param leaseName - the lease that the failed call was about, for the message
 */
export function fromDriver(error: unknown, leaseName = ''): PgElectError {
  if (error instanceof PgElectError) return error
  const cause = { cause: error }
  if (!isServerReport(error)) {
    const message = error instanceof Error ? error.message || error.name : String(error)
    return new ConnectionError(`No answer from the database: ${message}`, cause)
  }
  switch (error.code) {
    case 'LE001':
      return new LeaseLostError(leaseName, error.detail ?? error.message, cause)
    case 'LE002':
      return new ValueMissingError(error.message, cause)
    case '22023':
    case '22021':
      return new InvalidArgumentError(error.message, cause)
    case '55P03':
      return new BusyError(error.message, cause)
    case '42501':
      return new AccessDeniedError(error.message, cause)
    case '3F000':
    case '42883':
      return new SchemaMissingError(error.message, cause)
  }
  // A parameter of the connection that a session of the pooler's could not have for one client alone. Trying again does not help.
  const [, parameter] = /^unsupported startup parameter: (\w+)$/.exec(error.message) ?? []
  if (error.code === '08P01' && parameter !== undefined) {
    return new PoolerError(
      `A connection pooler refuses ${parameter} of the connection: expected none. Leave it out, or set it on the role (ALTER ROLE … SET)`,
      cause,
    )
  }
  // Class 08: connection, 53: out of resources, 57: the server ends the session or is not ready, 28: not let in.
  if (/^(08|53|57)/.test(error.code)) return new ConnectionError(error.message, cause)
  if (error.code.startsWith('28')) return new AccessDeniedError(error.message, cause)
  return new ServerError(error.code, error.message, cause)
}

/** Errors of connecting that say more than that it failed: a wrong password, no such database. */
const unsent = new WeakSet<object>()

/** Remembers that what failed so was never sent. @returns the same error */
export function neverSent(error: unknown): unknown {
  if (typeof error === 'object' && error !== null) unsent.add(error)
  return error
}

/** Whether what failed so was never sent, as there was no connection to send it on. */
export function wasNeverSent(error: unknown): boolean {
  if (error instanceof ConnectionError) return !error.mayHaveTakenEffect
  return error instanceof ClosedError || (typeof error === 'object' && error !== null && unsent.has(error))
}

/** SQLSTATE 53200: a statement was too much for the server's memory or lock table. Less at a time may not be. */
export function saysTooMuch(error: unknown): boolean {
  return error instanceof ConnectionError && isServerReport(error.cause) && error.cause.code === '53200'
}

/** Whether trying the same again can help: the fault lies in the connection or the server's load, not in the request. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionError || error instanceof BusyError) return true
  // Class 40: rolled back by the server (deadlock, serialisation); 54: a full queue of notifications; 25006: a read-only server.
  return error instanceof ServerError && /^(40|54|25006)/.test(error.sqlState)
}
