import type { Kysely, Transaction } from 'kysely'
import type { Pool, PoolClient } from 'pg'
import { requireFunction, requireText } from './arguments.ts'
import type { Clock } from './clock.ts'
import type { Trust } from './deadline.ts'
import { fromDriver, LeaseLostError } from './errors.ts'
import {
  executorOf,
  guardTransaction,
  type PooledQueryable,
  type Queryable,
  type QueryablePool,
  runGuarded,
  type TransactionOptions,
} from './guard.ts'
import { type Granted, Holding, type LeaseContext, type LeaseRequest } from './holding.ts'
import { type OnceOptions, type Operation, recordFailure, runOnce, runOnceInside } from './operations.ts'
import type { Executor } from './queries.ts'
import { requireDuration, TTL_MS_MAX, TTL_MS_MIN } from './timing.ts'

const GUARD_TIMEOUT_MS_DEFAULT = 60_000
const OPERATION_KEY_BYTES_MAX = 500

/**
 * A lease that this process was granted, renewed in the background until it is released or lost.
 *
 * `isHeld` and `signal` say what this process may believe. They turn at the client's own deadline, which lies before the moment from
 * which the database may grant the lease to another. What they cannot do is undo an act that was begun just before: write through
 * {@link transaction}, make payments and their like through {@link once}, and hand `token` to systems outside.
 */
export class Lease extends Holding {
  readonly #executor: Executor
  readonly #clock: Clock
  #operations: Map<string, Promise<unknown>> | undefined

  /** @internal Leases are made in `request.ts`, of what the database granted. */
  constructor(context: LeaseContext, request: LeaseRequest, granted: Granted, trust: Trust) {
    super(context, request, granted, trust)
    this.#executor = context.executor
    this.#clock = context.clock
  }

  /**
   * Runs the work in a transaction that commits only while the lease is held: a stale leader's leaves nothing behind.
   *
   * @param db - a Kysely instance, a pg `Pool`, or one connection: a pg `Client`, `PoolClient` or anything with `query(text, values)`.
   * The work gets the Kysely transaction or the connection; the lease is guarded on it already.
   * @throws LeaseLostError if the lease is not held; what the work threw. In both cases all is rolled back.
   */
  transaction<T>(
    db: Pool,
    work: (client: PoolClient) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T>
  transaction<DB, T>(
    db: Kysely<DB>,
    work: (trx: Transaction<DB>) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T>
  transaction<Client extends PooledQueryable, T>(
    db: QueryablePool<Client>,
    work: (client: Client) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T>
  transaction<Session extends Queryable, T>(
    db: Session,
    work: (session: Session) => Promise<T> | T,
    options?: TransactionOptions,
  ): Promise<T>
  async transaction<T>(
    db: never,
    work: (session: never) => Promise<T> | T,
    { timeoutMs, isolationLevel }: TransactionOptions = {},
  ): Promise<T> {
    requireFunction('work', work)
    const guard = this.#guard(timeoutMs)
    this.assertHeld()
    return this.#noticeLoss(runGuarded(db, guard, isolationLevel, work))
  }

  /**
   * Guards a transaction that has been begun already: from here on to its commit nobody else is granted the lease. Outside of a
   * transaction it proves the moment, and no more.
   *
   * @throws LeaseLostError if the lease is not held; the transaction has then failed.
   */
  async guard<DB>(
    trx: Transaction<DB> | Queryable,
    { timeoutMs }: Pick<TransactionOptions, 'timeoutMs'> = {},
  ): Promise<void> {
    const guard = this.#guard(timeoutMs)
    this.assertHeld()
    await this.#noticeLoss(guardTransaction(trx as Queryable, guard))
  }

  /**
   * Does something once, however often it is called for and whoever leads then; repeated calls return the stored result.
   *
   * `once(key, work)`, for a call outside: it is recorded before the call, and after a crash repeated with the same `idempotencyKey`,
   * which the work passes on. `once(key, db, work)`, for work inside the database: the work and its record commit together.
   *
   * @param operationKey - what is to happen once, such as `invoice-4711`: 1 to 500 bytes, unique for the lease
   * @returns what the work returned, now or before. It is stored as JSON, in at most 256 KiB.
   * @throws what the work threw, which is recorded; OperationFailedError if it failed before and `retryFailed` is false; LeaseLostError if
   * the lease is not held: an operation that was begun is then repeated by the next leader.
   */
  once<T>(
    operationKey: string,
    work: (operation: Operation) => Promise<T> | T,
    options?: OnceOptions,
  ): Promise<T>
  once<T>(
    operationKey: string,
    db: Pool,
    work: (client: PoolClient, operation: Operation) => Promise<T> | T,
    options?: OnceOptions & TransactionOptions,
  ): Promise<T>
  once<DB, T>(
    operationKey: string,
    db: Kysely<DB>,
    work: (trx: Transaction<DB>, operation: Operation) => Promise<T> | T,
    options?: OnceOptions & TransactionOptions,
  ): Promise<T>
  once<Client extends PooledQueryable, T>(
    operationKey: string,
    db: QueryablePool<Client>,
    work: (client: Client, operation: Operation) => Promise<T> | T,
    options?: OnceOptions & TransactionOptions,
  ): Promise<T>
  once<Session extends Queryable, T>(
    operationKey: string,
    db: Session,
    work: (session: Session, operation: Operation) => Promise<T> | T,
    options?: OnceOptions & TransactionOptions,
  ): Promise<T>
  async once<T>(operationKey: string, ...rest: unknown[]): Promise<T> {
    requireText('operationKey', operationKey, OPERATION_KEY_BYTES_MAX)
    const isOutside = typeof rest[0] === 'function'
    const [db, work, options = {}] = (isOutside ? [undefined, ...rest] : rest) as [never, never, OnceOptions?]
    requireFunction('work', work)
    this.assertHeld()
    // The same operation twice at once in one process is one operation.
    this.#operations ??= new Map()
    const operations = this.#operations
    let operation = operations.get(operationKey) as Promise<T> | undefined
    if (operation === undefined) {
      const begun = isOutside
        ? runOnce<T>(this.#executor, this.#clock, this, operationKey, work, options)
        : this.#onceInside<T>(operationKey, db, work, options)
      operation = this.#noticeLoss(begun).finally(() => operations.delete(operationKey))
      operations.set(operationKey, operation)
    }
    return operation
  }

  #guard(timeoutMs = GUARD_TIMEOUT_MS_DEFAULT) {
    requireDuration('timeoutMs', timeoutMs, TTL_MS_MIN, TTL_MS_MAX)
    return { name: this.name, token: this.token, timeoutMs }
  }

  /** What the database has said of the lease holds at once, not only at the next beat. */
  async #noticeLoss<T>(result: Promise<T>): Promise<T> {
    try {
      return await result
    } catch (error) {
      if (error instanceof LeaseLostError && error.leaseName === this.name) {
        this.lose('the database says that it is not held')
      }
      throw error
    }
  }

  async #onceInside<T>(
    operationKey: string,
    db: never,
    work: (session: never, operation: Operation) => Promise<T> | T,
    options: OnceOptions & TransactionOptions,
  ): Promise<T> {
    let workFailed = false
    const attempt = (session: never) =>
      runOnceInside(
        executorOf(session),
        this,
        operationKey,
        async (operation) => {
          try {
            return await work(session, operation)
          } catch (error) {
            workFailed = true
            throw error
          }
        },
        options,
      )
    try {
      return await runGuarded<T>(db, this.#guard(options.timeoutMs), options.isolationLevel, attempt)
    } catch (error) {
      if (workFailed && this.isHeld) {
        await recordFailure(this.#executor, this, operationKey, error).catch(() => undefined)
      }
      throw workFailed ? error : error instanceof LeaseLostError ? error : fromDriver(error, this.name)
    }
  }
}
