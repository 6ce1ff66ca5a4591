import type { Kysely, Transaction } from 'kysely'
import { requireFunction, requireText } from './arguments.ts'
import type { Clock, Instant, Timer } from './clock.ts'
import { longerTrust, remainingMs, type Trust, trustFrom } from './deadline.ts'
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
import type { Heartbeat } from './heartbeat.ts'
import type { Random } from './jitter.ts'
import { describeError, type Logger } from './logger.ts'
import { type OnceOptions, type Operation, recordFailure, runOnce, runOnceInside } from './operations.ts'
import { acquireLease, type Executor, type LeaseAnswer, type Metadata, releaseLease } from './queries.ts'
import { requireDuration, type Timing, TTL_MS_MAX, TTL_MS_MIN } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** What leases of one client share. */
export interface LeaseContext {
  readonly executor: Executor
  readonly heartbeat: Heartbeat
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** All leases that are held or being given back. */
  readonly held: Set<Lease>
  /** Whether this process has the advisory lock of that name, which would let its own session in. */
  readonly isLockedHere: (name: string) => boolean
  /** Requests under way, each of which may still bring a lease. */
  readonly pending: Set<Promise<unknown>>
}

/** What a contender asks for. */
export interface LeaseRequest {
  readonly name: string
  readonly holder: string
  readonly metadata: Metadata | undefined
  readonly timing: Timing
}

const RELEASE_ATTEMPTS = 3
const GUARD_TIMEOUT_MS_DEFAULT = 60_000
const OPERATION_KEY_BYTES_MAX = 500

/**
 * A lease that this process was granted, renewed in the background until it is released or lost.
 *
 * `isHeld` and `signal` say what this process may believe. They turn at the client's own deadline, which lies before the moment from
 * which the database may grant the lease to another. What they cannot do is undo an act that was begun just before: write through
 * {@link transaction}, make payments and their like through {@link once}, and hand {@link token} to systems outside.
 */
export class Lease implements AsyncDisposable {
  readonly name: string
  /** Who holds it, to the database: unique to this contender. */
  readonly holder: string
  /** Fencing token: larger than that of every earlier grant of this lease. */
  readonly token: number
  readonly metadata: Metadata | undefined
  /** @internal */
  readonly timing: Timing

  readonly #context: LeaseContext
  readonly #ending = new AbortController()
  #trust: Trust
  #loss: LeaseLostError | undefined
  #release: Promise<boolean> | undefined
  #end: Promise<boolean> | undefined
  #work: Promise<unknown> | undefined
  readonly #operations = new Map<string, Promise<unknown>>()
  #deadlineTimer: Timer | undefined
  #onEnded: (() => void) | undefined
  #isOver = false

  /** @internal Leases are made by {@link requestLease}. */
  constructor(context: LeaseContext, request: LeaseRequest, token: number, trust: Trust) {
    this.name = request.name
    this.holder = request.holder
    this.token = token
    this.metadata = request.metadata
    this.timing = request.timing
    this.#context = context
    this.#trust = trust
    context.held.add(this)
    context.heartbeat.add(this)
    this.#watchDeadline()
  }

  /**
   * Aborts when the work that the lease covers must stop: the lease is lost ({@link LeaseLostError}), or its holder is asked to give it
   * back (`resign()`, `close()`) and does so once the work has settled.
   */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** Whether this process may still act as the holder. Computed afresh each time, so it is right also after a blocked event loop. */
  get isHeld(): boolean {
    if (this.#loss !== undefined || this.#release !== undefined) return false
    if (this.remainingMs > 0) return true
    this.#lose('it was not renewed before its deadline')
    return false
  }

  /** Milliseconds until this process stops trusting the lease unless it is renewed. Zero or less: not held. */
  get remainingMs(): number {
    return remainingMs(this.#trust, this.#context.clock.now())
  }

  /** @throws LeaseLostError if the lease is not held any more. */
  assertHeld(): void {
    if (this.isHeld) return
    throw this.#loss ?? new LeaseLostError(this.name, 'it was released')
  }

  /**
   * Renews now, without waiting for the next beat.
   *
   * @throws LeaseLostError if the lease is not held any more.
   * @throws ConnectionError if the database could not be asked, BusyError if another transaction was at the lease; it is then still
   * held until its deadline.
   */
  async renew(): Promise<void> {
    this.assertHeld()
    await this.#context.heartbeat.renewNow(this)
    this.assertHeld()
  }

  /**
   * Runs the work in a transaction that commits only while the lease is held: a stale leader's leaves nothing behind.
   *
   * @param db - a Kysely instance, a pg `Pool`, or one connection: a pg `Client`, `PoolClient` or anything with `query(text, values)`.
   * The work gets the Kysely transaction or the connection; the lease is guarded on it already.
   * @throws LeaseLostError if the lease is not held; what the work threw. In both cases all is rolled back.
   */
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
   * Guards a transaction that has been begun already: from here on to its commit nobody else is granted the lease.
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
    let operation = this.#operations.get(operationKey) as Promise<T> | undefined
    if (operation === undefined) {
      const begun = isOutside
        ? runOnce<T>(this.#context.executor, this.#context.clock, this, operationKey, work, options)
        : this.#onceInside<T>(operationKey, db, work, options)
      operation = this.#noticeLoss(begun).finally(() => this.#operations.delete(operationKey))
      this.#operations.set(operationKey, operation)
    }
    return operation
  }

  /**
   * Gives the lease back, so that another can have it at once. Work that it covers must have ended.
   *
   * @returns whether the database confirmed it. If not, the lease expires by itself.
   */
  release(): Promise<boolean> {
    if (this.#release === undefined) {
      // Settled before anybody is told: a listener of the signal that looks or releases, too, finds it given up.
      const begin = this.isHeld ? () => this.#giveBack() : () => false
      let settle: (released: Promise<boolean> | boolean) => void = () => undefined
      this.#release = new Promise((resolve) => {
        settle = resolve
      })
      settle(begin())
    }
    return this.#release
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  /** @internal Called back once, when the lease has been lost or given back. */
  onEnded(callback: () => void): void {
    if (this.#isOver) callback()
    else this.#onEnded = callback
  }

  /** @internal Why it was lost, if it was. */
  get loss(): LeaseLostError | undefined {
    return this.isHeld ? undefined : this.#loss
  }

  /** @internal Runs work that the lease covers, so that {@link end} can wait for it. */
  async run<T>(work: (lease: Lease) => T | Promise<T>): Promise<T> {
    const running = (async () => work(this))()
    this.#work = running.catch(() => undefined)
    return running
  }

  /**
   * @internal Asks the work to stop, waits for it while the lease is still being renewed, then releases.
   *
   * @returns false if the work has not settled in time. The lease is then left to expire: releasing it would let another begin while
   * this one still works.
   */
  end(reason: unknown, timeoutMs: number): Promise<boolean> {
    this.#end ??= this.#drainAndRelease(reason, timeoutMs)
    return this.#end
  }

  async #drainAndRelease(reason: unknown, timeoutMs: number): Promise<boolean> {
    this.#ending.abort(reason)
    if (this.#work !== undefined && !(await this.#settles(this.#work, timeoutMs))) {
      this.#context.heartbeat.remove(this)
      // Its signal has aborted already, and a process that ends need not wait for it.
      this.#deadlineTimer?.cancel()
      this.#context.logger.error(
        { lease: this.name, token: this.token, timeoutMs },
        'the work has not stopped in time: its lease is left to expire',
      )
      return false
    }
    await this.release()
    return true
  }

  /** @internal */
  extended(sentAt: Instant, expiresInMs: number | null): void {
    if (!this.isHeld) {
      // The renewal came through after the deadline had passed here: what is lost stays lost, but nobody need wait for it.
      if (this.#loss !== undefined) void this.#releaseOnce().catch(() => undefined)
      return
    }
    const { clock } = this.#context
    const trust = trustIn(this.timing, sentAt, expiresInMs)
    this.#trust = longerTrust(this.#trust, trust, clock.now())
    this.#watchDeadline()
  }

  /** @internal */
  refused(answer: LeaseAnswer): void {
    this.#lose(answer.holder === null ? 'the database says it has expired' : `${answer.holder} holds it now`)
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
      if (error instanceof LeaseLostError) this.#lose('the database says that it is not held')
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
        await recordFailure(this.#context.executor, this, operationKey, error).catch(() => undefined)
      }
      throw workFailed ? error : error instanceof LeaseLostError ? error : fromDriver(error, this.name)
    }
  }

  #lose(why: string): void {
    if (this.#loss !== undefined || this.#release !== undefined) return
    this.#loss = new LeaseLostError(this.name, why)
    this.#deadlineTimer?.cancel()
    this.#context.heartbeat.remove(this)
    this.#context.logger.warn({ lease: this.name, token: this.token, why }, 'lost a lease')
    // First of all: a listener of the election that throws must not keep the work from being stopped.
    this.#ending.abort(this.#loss)
    this.#forget()
  }

  #forget(): void {
    this.#context.held.delete(this)
    if (this.#isOver) return
    this.#isOver = true
    this.#onEnded?.()
  }

  async #giveBack(): Promise<boolean> {
    const { clock, logger } = this.#context
    this.#deadlineTimer?.cancel()
    this.#context.heartbeat.remove(this)
    this.#ending.abort(new LeaseLostError(this.name, 'it was released'))
    try {
      for (let attempt = 1; attempt <= RELEASE_ATTEMPTS && this.remainingMs > 0; attempt++) {
        try {
          return await this.#releaseOnce()
        } catch (error) {
          logger.info({ lease: this.name, attempt, error: describeError(error) }, 'could not release a lease')
        }
        if (attempt < RELEASE_ATTEMPTS) await new Wakeup(clock).wait(this.timing.retryIntervalMs)
      }
      return false
    } finally {
      this.#forget()
    }
  }

  #releaseOnce(): Promise<boolean> {
    return releaseLease(this.#context.executor, this, { timeoutMs: this.timing.queryTimeoutMs })
  }

  #watchDeadline(): void {
    this.#deadlineTimer?.cancel()
    this.#deadlineTimer = this.#context.clock.setTimer(() => {
      // Looking is enough: isHeld sees for itself that the deadline has passed. A timer can also come early.
      if (this.isHeld) this.#watchDeadline()
    }, this.remainingMs)
  }

  async #settles(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
    const timeout = new Wakeup(this.#context.clock)
    const settled = work.then(() => timeout.wake())
    const inTime = await timeout.wait(timeoutMs)
    if (inTime) await settled
    return inTime
  }
}

/**
 * Asks once for a lease.
 *
 * @returns the lease, or the answer that refused it. A grant that came after its own deadline is a refusal with the contender's own
 * name as the holder: asking again settles it, under the same token.
 */
export async function requestLease(
  context: LeaseContext,
  request: LeaseRequest,
): Promise<Lease | LeaseAnswer> {
  const asking = ask(context, request)
  context.pending.add(asking)
  return asking.finally(() => context.pending.delete(asking))
}

/** As the database answers another session while the advisory lock is held. */
const NOBODY_KNOWN: LeaseAnswer = {
  granted: false,
  holder: null,
  token: null,
  version: null,
  metadata: null,
  expiresInMs: null,
}

async function ask(context: LeaseContext, request: LeaseRequest): Promise<Lease | LeaseAnswer> {
  const { executor, clock, logger } = context
  const { ttlMs, queryTimeoutMs } = request.timing
  if (context.isLockedHere(request.name)) return NOBODY_KNOWN
  const sentAt = clock.now()
  const answer = await acquireLease(executor, { ...request, ttlMs }, { timeoutMs: queryTimeoutMs })
  if (answer.granted !== true || answer.token === null) return answer
  const trust = trustIn(request.timing, sentAt, answer.expiresInMs)
  if (remainingMs(trust, clock.now()) <= 0) {
    logger.info({ lease: request.name }, 'a grant came too late to be trusted')
    return { ...answer, granted: false }
  }
  logger.info({ lease: request.name, holder: request.holder, token: answer.token }, 'was granted a lease')
  return new Lease(context, request, answer.token, trust)
}

/** Never longer than the database has said: somebody else may have renewed the lease with another TTL. */
function trustIn({ ttlMs, safetyMarginMs }: Timing, sentAt: Instant, expiresInMs: number | null): Trust {
  return trustFrom(sentAt, Math.min(ttlMs, expiresInMs ?? ttlMs), safetyMarginMs)
}
