/**
 * Operations that happen once: a ledger beside the lease.
 *
 * Work inside the database is recorded in the transaction that does it, and so happens exactly once. A call outside is recorded before it
 * is made; after a crash the next leader finds it begun and repeats it *with the same idempotency key*, by which the other side can tell
 * the repetition from a second order.
 */
import type { Clock } from './clock.ts'
import {
  fromDriver,
  InvalidArgumentError,
  isTransient,
  LeaseLostError,
  OperationFailedError,
} from './errors.ts'
import { describeError } from './logger.ts'
import {
  beginOperation,
  type Executor,
  failOperation,
  finishOperation,
  type OperationRecord,
  type OperationRequest,
} from './queries.ts'
import type { Timing } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** What the work of an operation is given. */
export interface Operation {
  /** The same at every attempt: pass it on to systems outside. */
  readonly idempotencyKey: string
  /** 1 at first. More: an earlier attempt may have happened, in part or whole. */
  readonly attempt: number
  /** Fencing token of the leader. */
  readonly token: number
  /** Aborts when the lease is lost, or its holder is asked to stop. */
  readonly signal: AbortSignal
}

/** How to run an operation. */
export interface OnceOptions {
  /** Whether an operation whose work has failed before is tried again, under the same key. Default true. */
  retryFailed?: boolean
}

/** The lease under which an operation runs. */
export interface OperatingLease {
  readonly name: string
  readonly token: number
  readonly signal: AbortSignal
  readonly timing: Timing
  assertHeld(): void
}

/** Runs work outside of the database once, as far as the other side honours the key. */
export async function runOnce<T>(
  executor: Executor,
  clock: Clock,
  lease: OperatingLease,
  operationKey: string,
  work: (operation: Operation) => Promise<T> | T,
  { retryFailed = true }: OnceOptions,
): Promise<T> {
  const request = { name: lease.name, token: lease.token, operationKey }
  const record = await persist(clock, lease, (options) =>
    beginOperation(executor, { ...request, retryFailed }, options),
  )
  if (record.state !== 'begun') return settled<T>(record, operationKey)
  let result: T
  try {
    result = await work(toOperation(record, lease))
  } catch (error) {
    // If the lease is lost, this is refused, and the operation stays begun: the next leader repeats it.
    await persist(clock, lease, (options) =>
      failOperation(executor, { ...request, error: toRecord(error) }, options),
    ).catch(() => undefined)
    throw error
  }
  requireJson(result)
  await persist(clock, lease, (options) => finishOperation(executor, { ...request, result }, options))
  return result
}

/** Runs work inside the database once: it and its record commit together. `executor` is the transaction, guarded already. */
export async function runOnceInside<T>(
  executor: Executor,
  lease: OperatingLease,
  operationKey: string,
  work: (operation: Operation) => Promise<T> | T,
  { retryFailed = true }: OnceOptions,
): Promise<T> {
  const request: OperationRequest = { name: lease.name, token: lease.token, operationKey }
  const record = await beginOperation(executor, { ...request, retryFailed })
  if (record.state !== 'begun') return settled<T>(record, operationKey)
  const result = await work(toOperation(record, lease))
  requireJson(result)
  await finishOperation(executor, { ...request, result })
  return result
}

/** Records that work inside the database has failed: its own transaction, with the record of its begin, is gone. */
export async function recordFailure(
  executor: Executor,
  lease: OperatingLease,
  operationKey: string,
  error: unknown,
): Promise<void> {
  const request = { name: lease.name, token: lease.token, operationKey }
  const record = await beginOperation(executor, { ...request, retryFailed: true })
  if (record.state === 'begun') await failOperation(executor, { ...request, error: toRecord(error) })
}

function settled<T>(record: OperationRecord, operationKey: string): T {
  if (record.state === 'failed') throw new OperationFailedError(operationKey, record.error)
  return record.result as T
}

function toOperation(
  { idempotencyKey, attempt }: OperationRecord,
  { token, signal }: OperatingLease,
): Operation {
  return { idempotencyKey, attempt, token, signal }
}

const RECORDED_TEXT_MAX = 10_000

/** What is kept of a thrown value: always something that the ledger can take. */
function toRecord(error: unknown): unknown {
  const kept =
    error instanceof Error ? { name: error.name, ...describeError(error) } : { message: String(error) }
  return Object.fromEntries(
    Object.entries(kept).map(([key, text]) => [
      key,
      text.slice(0, RECORDED_TEXT_MAX).replaceAll('\0', '').toWellFormed(),
    ]),
  )
}

/** @throws InvalidArgumentError: what cannot be stored cannot be returned to those who ask again. */
function requireJson(result: unknown): void {
  try {
    JSON.stringify(result)
  } catch {
    throw new InvalidArgumentError(
      `Invalid result of an operation: expected one that JSON can express, got ${typeof result}`,
    )
  }
}

/** Asks until there is an answer, for as long as the lease is held: each of these may be repeated. */
async function persist<T>(
  clock: Clock,
  lease: OperatingLease,
  ask: (options: { timeoutMs: number }) => Promise<T>,
): Promise<T> {
  for (;;) {
    lease.assertHeld()
    try {
      return await ask({ timeoutMs: lease.timing.queryTimeoutMs })
    } catch (error) {
      const mapped = fromDriver(error, lease.name)
      if (mapped instanceof LeaseLostError || !isTransient(mapped)) throw mapped
      await new Wakeup(clock).wait(lease.timing.retryIntervalMs)
    }
  }
}
