import { setMaxListeners } from 'node:events'
import { acquireWithin, requireWait, WAIT_KEYS, type WaitOptions } from './acquire.ts'
import { type AdvisoryLock, AdvisoryLocks } from './advisory-lock.ts'
import { requireFunction, requireName, requireOneOf, requirePriority } from './arguments.ts'
import { ControlConnection } from './connection.ts'
import { Election, type ElectionContext } from './election.ts'
import { ClosedError } from './errors.ts'
import { Heartbeat } from './heartbeat.ts'
import { makeHolder } from './holder.ts'
import type { LeaseRequest } from './holding.ts'
import { READING } from './hosts.ts'
import { installSchema } from './install.ts'
import type { Lease } from './lease.ts'
import { LeaseCalls } from './lease-calls.ts'
import { Line } from './line.ts'
import { type CandidateInfo, getCandidates, requestStepDown } from './line-queries.ts'
import { Notifier } from './notifier.ts'
import {
  type ElectionOptions,
  type LeaseOptions,
  type PgElectOptions,
  type ResolvedOptions,
  resolveElectionOptions,
  resolveLeaseOptions,
  resolveOptions,
} from './options.ts'
import type { PrimitiveContext } from './primitives/context.ts'
import { FastMutex } from './primitives/fast-mutex.ts'
import { Mutex, type MutexOptions } from './primitives/mutex.ts'
import { Primitives } from './primitives/primitives.ts'
import type { SwapOptions } from './primitives/register.ts'
import { getLease, getLeaseState, type LeaseInfo } from './queries.ts'
import { Reads } from './reads.ts'
import { SessionKeeper } from './session-keeper.ts'
import { SpareSessions } from './spare-sessions.ts'
import { tryLease } from './try-lease.ts'
import { startThread } from './worker-heartbeat/start-thread.ts'
import { WorkerHeartbeat } from './worker-heartbeat/worker-heartbeat.ts'

/** Options of {@link PgElect.acquire} and {@link PgElect.withLease}. */
export interface AcquireOptions extends LeaseOptions, WaitOptions {
  /** Place in line: larger ones go first, among equals who came first. Default 0. */
  priority?: number
}

/** How often at most a connection is asked whether it still listens. */
const LISTEN_CHECK_MS_MIN = 1000
/** In TTLs. A little more than one, since whoever follows a lease looks at it once a TTL, and that can tell it on its way. */
const LISTEN_CHECK_TTLS = 1.1

/** A swap waits at most a second for each of up to three locks. */
const SWAP_TIMEOUT_MS = 5000

/**
 * The client: one per process is enough. It connects when it is first used, with one connection of its own.
 *
 * ```ts
 * await using elect = new PgElect({ connectionString: process.env.DATABASE_URL })
 * await elect.election('billing').lead(async ({ signal, token }) => { … })
 * ```
 */
export class PgElect extends Primitives implements AsyncDisposable {
  readonly #options: ResolvedOptions
  readonly #connection: ControlConnection
  /** Swaps may wait for each other in the database; what stands behind them in a pipeline waits, too, and renewals must not. */
  readonly #swapConnection: ControlConnection
  /** Where notifications come in: the control connection itself, unless that leads through a pooler and another one is given. */
  readonly #listenConnection: ControlConnection
  /** Where what may be a little behind is read, if not on the control connection. */
  readonly #readConnection: ControlConnection | undefined
  readonly #reads: Reads
  readonly #notifier: Notifier
  readonly #heartbeat: Heartbeat
  readonly #workerHeartbeat: WorkerHeartbeat | undefined
  readonly #keeper: SessionKeeper | undefined
  readonly #advisoryLocks: AdvisoryLocks
  readonly #context: ElectionContext & PrimitiveContext
  readonly #closing = new AbortController()
  #closed: Promise<void> | undefined

  /**
   * @throws InvalidArgumentError if an option is unknown or out of range, the durations do not fit each other, or the heartbeat is to
   * have a thread and cannot.
   */
  constructor(options: PgElectOptions = {}) {
    super()
    this.#options = resolveOptions(options)
    const { clock, random, logger, timing, connection, listenConnection, pollIntervalMs } = this.#options
    const { holder, drainTimeoutMs } = this.#options
    const { queryTimeoutMs: timeoutMs, retryIntervalMs } = timing
    const dependencies = { clock, random, logger, timeoutMs, retryIntervalMs, ttlMs: timing.ttlMs }
    this.#connection = new ControlConnection(connection, dependencies)
    this.#swapConnection = new ControlConnection(connection, {
      ...dependencies,
      timeoutMs: Math.max(timeoutMs, SWAP_TIMEOUT_MS),
    })
    this.#heartbeat = new Heartbeat({ executor: this.#connection, clock, random, logger })
    if (this.#options.session) {
      this.#keeper = new SessionKeeper({
        executor: this.#connection,
        clock,
        random,
        logger,
        timing,
        holderLabel: holder,
        heartbeat: this.#heartbeat,
      })
    }
    this.#connection.on('lost', () => {
      this.#heartbeat.hurry()
      this.#keeper?.hurry()
    })
    this.#listenConnection =
      listenConnection === undefined
        ? this.#connection
        : new ControlConnection(listenConnection, { ...dependencies, option: 'listenConnection' })
    const { readConnection } = this.#options
    this.#readConnection =
      readConnection === undefined
        ? undefined
        : new ControlConnection(readConnection, {
            ...dependencies,
            option: 'readConnection',
            allowed: READING,
          })
    this.#reads = new Reads(this.#connection, this.#readConnection, { clock, logger, retryIntervalMs })
    this.#notifier = new Notifier(this.#listenConnection, {
      clock,
      random,
      logger,
      retryIntervalMs,
      pollIntervalMs,
      isSeparate: listenConnection !== undefined,
      check: { intervalMs: Math.max(LISTEN_CHECK_MS_MIN, timing.ttlMs * LISTEN_CHECK_TTLS), timeoutMs },
    })
    this.#advisoryLocks = new AdvisoryLocks(this.#connection)
    // When nothing can be refused any more: it would go on without its client.
    this.#workerHeartbeat = this.#startWorker()
    // One listener for each candidate and each term: many are no leak.
    setMaxListeners(0, this.#closing.signal)
    const isLockedHere = (name: string) => this.#advisoryLocks.has(name)
    this.#context = {
      executor: this.#connection,
      calls: new LeaseCalls({
        executor: this.#connection,
        clock,
        isLockedHere,
        session: () => this.#keeper?.session,
      }),
      heartbeat: this.#workerHeartbeat ?? this.#heartbeat,
      keeper: this.#keeper,
      notifier: this.#notifier,
      line: new Line(this.#heartbeat, this.#notifier),
      clock,
      random,
      logger,
      held: new Set(),
      pending: new Set(),
      isLockedHere,
      closing: this.#closing.signal,
      holderLabel: holder,
      drainTimeoutMs,
      swaps: this.#swapConnection,
      timing,
      sessions: new SpareSessions(() => new ControlConnection(connection, dependencies)),
    }
  }

  /**
   * Installs or upgrades schema `elect`, over a connection of its own. Any number of processes may call it at once; it does nothing,
   * and needs no rights, where the schema is up to date.
   *
   * @throws SchemaNewerError if the schema is newer than this package; AccessDeniedError if the role may not install; PoolerError behind a
   * connection pooler, unless the schema is up to date.
   */
  async install(): Promise<void> {
    this.#assertOpen()
    await installSchema(this.#options.connection, this.#options.logger)
  }

  /**
   * The election of a name: to campaign in it, to lead, or to watch. Each call makes a contender of its own.
   *
   * @throws InvalidArgumentError on a bad name or option.
   */
  election(name: string, options: ElectionOptions = {}): Election {
    this.#assertOpen()
    requireName(name)
    return new Election(this.#context, name, resolveElectionOptions(options, this.#options.timing))
  }

  /**
   * The mutex of a name: at most one contender of all processes has it.
   *
   * @param options - `wait`: `line` (default) or `queue`; and those of a lease
   * @throws InvalidArgumentError on a bad name or option.
   */
  mutex(name: string, options: MutexOptions = {}): Mutex {
    this.#assertOpen()
    requireName(name)
    const { wait = 'line' } = options
    requireOneOf('wait', wait, ['line', 'queue'])
    return new Mutex(this.#context, name, {
      ...resolveLeaseOptions(options, this.#options.timing, ['wait']),
      wait,
    })
  }

  /**
   * The fast mutex of a name: no more than the server's advisory lock. Nothing is written, and there is no token to fence with.
   *
   * @throws InvalidArgumentError on a bad name.
   */
  fastMutex(name: string): FastMutex {
    this.#assertOpen()
    requireName(name)
    return new FastMutex(this.#context, name)
  }

  /**
   * Waits in line until the lease is granted. Keep to `await using`, or call `release()`.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; InvalidArgumentError on a bad argument.
   */
  async acquire(name: string, options: AcquireOptions = {}): Promise<Lease> {
    const request = this.#request(name, options, ['priority', ...WAIT_KEYS])
    const { priority = 0 } = options
    requirePriority(priority)
    requireWait(options)
    return acquireWithin(this.#context, { ...request, priority }, options)
  }

  /**
   * Asks for the lease once, without waiting for whoever holds it. Null if somebody else does.
   *
   * @throws ConnectionError if the connection broke and it could not be found out in time whether the lease was granted; it is then given
   * back as soon as the database can be asked.
   */
  async tryAcquire(name: string, options: LeaseOptions = {}): Promise<Lease | null> {
    return tryLease(this.#context, this.#request(name, options))
  }

  /**
   * Waits for the lease, runs the work while it is held, and releases it. `work` must stop when `lease.signal` aborts.
   *
   * @returns what the work returned.
   * @throws what the work threw; LeaseLostError if the lease was lost before the work had settled, whatever it returned; and as
   * {@link acquire}.
   */
  async withLease<T>(
    name: string,
    work: (lease: Lease) => T | Promise<T>,
    options: AcquireOptions = {},
  ): Promise<T> {
    requireFunction('work', work)
    const lease = await this.acquire(name, options)
    return lease.cover(work)
  }

  /**
   * The fast path: a mutex without a row and without a token, for short critical sections. It excludes other holders of the advisory
   * lock, and of a lease, of the same name.
   *
   * @returns null if somebody else has it.
   * @throws PoolerError behind a connection pooler.
   */
  async tryAdvisoryLock(name: string): Promise<AdvisoryLock | null> {
    this.#assertOpen()
    requireName(name)
    return this.#advisoryLocks.tryLock(name)
  }

  /**
   * Asks the leader of an election to finish what it is at and resign. Leaders that use this client obey.
   *
   * @returns false if nobody leads.
   * @throws AccessDeniedError unless the role is one of operators (`elect_admin`).
   */
  async requestStepDown(name: string): Promise<boolean> {
    this.#assertOpen()
    requireName(name)
    return requestStepDown(this.#connection, name)
  }

  /** Who waits for the lease, the next one first. */
  async candidates(name: string): Promise<CandidateInfo[]> {
    this.#assertOpen()
    requireName(name)
    return getCandidates(this.#connection, name)
  }

  /**
   * Who holds the lease, or which value the key has (`holder`); null: vacant, empty. With `readConnection`, read there, and perhaps a little
   * behind.
   */
  async get(name: string): Promise<LeaseInfo | null> {
    this.#assertOpen()
    requireName(name)
    return (await this.#reads.ask((executor) => getLease(executor, name))) ?? null
  }

  /**
   * How long a lease still counts as held after a fail-over or a restore that may have lost who holds it, in milliseconds; null: it is
   * not in such a grace. Whoever holds it and renews is not held up by that, and ends it.
   */
  async graceMs(name: string): Promise<number | null> {
    this.#assertOpen()
    requireName(name)
    return (await getLeaseState(this.#connection, name)).graceMs
  }

  /**
   * Stores `next` under the key if its value is `current`. Null and '' mean empty; an empty `next` empties the key.
   *
   * @returns false if the value is another.
   * @throws ValueMissingError if `current` is not empty but the key is; InvalidArgumentError on a bad argument; ConnectionError if no
   * answer came: whether it was swapped is then unknown, unless `mayHaveTakenEffect` is false. Read the key to find out.
   */
  async compareAndSwap(
    key: string,
    next: string | null,
    current: string | null,
    options: SwapOptions = {},
  ): Promise<boolean> {
    return this.register(key).compareAndSwap(next, current, options)
  }

  /**
   * Stores `next` under the key if nothing was written since `version`. Version 0 expects the key to be empty.
   *
   * @returns the new version; null if something was written.
   * @throws InvalidArgumentError on a bad argument; ConnectionError as {@link compareAndSwap}.
   */
  async compareAndSwapVersion(
    key: string,
    next: string | null,
    version: number,
    options: SwapOptions = {},
  ): Promise<number | null> {
    return this.register(key).compareAndSwapVersion(next, version, options)
  }

  /**
   * Gives everything back and disconnects. Candidates stop waiting; the signals of leases abort; each lease is released once the
   * work that it covers has settled. Work that takes longer than `drainTimeoutMs` keeps its lease until that expires.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const { held, pending, drainTimeoutMs } = this.#context
    const reason = new ClosedError()
    const endAll = () => Promise.all([...held].map((lease) => lease.end(reason, drainTimeoutMs)))
    this.#closing.abort(reason)
    await endAll()
    // What was asked for before the close may be granted after it, and those who wait say in the next turns that they leave.
    do {
      await new Promise(setImmediate)
      await Promise.allSettled(pending)
      // Whoever waited for one of these has something to say in its turn.
      await new Promise(setImmediate)
    } while (pending.size > 0)
    await endAll()
    await this.#keeper?.close()
    this.#notifier.close()
    const connections = new Set([this.#connection, this.#listenConnection, this.#swapConnection])
    const all = [...connections, this.#readConnection, this.#context.sessions, this.#workerHeartbeat]
    await Promise.all(all.map((one) => one?.close()))
  }

  #startWorker(): WorkerHeartbeat | undefined {
    const { worker, timing, clock, logger } = this.#options
    if (worker === undefined) return undefined
    const { queryTimeoutMs: timeoutMs, retryIntervalMs, ttlMs } = timing
    return new WorkerHeartbeat({
      thread: startThread({ ...worker, timeoutMs, retryIntervalMs, ttlMs }),
      mainHeartbeat: this.#heartbeat,
      hangTimeoutMs: worker.hangTimeoutMs,
      clock,
      logger,
    })
  }

  #request(name: string, options: LeaseOptions, alsoKnown: readonly string[] = []): LeaseRequest {
    this.#assertOpen()
    requireName(name)
    const { timing, metadata } = resolveLeaseOptions(options, this.#options.timing, alsoKnown)
    const holder = makeHolder(this.#options.holder)
    return { name, holder, metadata, timing, priority: 0, share: undefined }
  }

  /** @internal */
  protected override usePrimitives(): PrimitiveContext {
    this.#assertOpen()
    return this.#context
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new ClosedError()
  }
}
