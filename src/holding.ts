import type { Clock, Instant, Timer } from './clock.ts'
import { longerTrust, remainingMs, type Trust, trustFrom } from './deadline.ts'
import { LeaseLostError } from './errors.ts'
import type { Extension, LeaseHeartbeat } from './heartbeat.ts'
import type { Random } from './jitter.ts'
import { LazySignal } from './lazy-signal.ts'
import type { LeaseCalls } from './lease-calls.ts'
import { transferLease } from './line-queries.ts'
import { describeError, type Logger } from './logger.ts'
import type { Executor, LeaseAnswer, Metadata } from './queries.ts'
import type { SessionKeeper } from './session-keeper.ts'
import type { ShareRequest } from './share-queries.ts'
import type { Timing } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** What leases of one client share. */
export interface LeaseContext {
  readonly executor: Executor
  /** Grants and releases, those of one moment together. */
  readonly calls: LeaseCalls
  readonly heartbeat: LeaseHeartbeat
  /** Keeps the leases that it can; undefined: the heartbeat keeps all. */
  readonly keeper?: (LeaseHeartbeat & Pick<SessionKeeper, 'keeps'>) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** All leases that are held or being given back. */
  readonly held: Set<Holding>
  /** Whether this process has the advisory lock of that name, which would let its own session in. */
  readonly isLockedHere: (name: string) => boolean
  /** Requests under way, each of which may still bring a lease. */
  readonly pending: Set<Promise<unknown>>
}

/** Has the client wait for the answer before it closes: it may still bring, or give back, a lease. */
export function keepOpen<T>({ pending }: Pick<LeaseContext, 'pending'>, asking: Promise<T>): Promise<T> {
  const done = () => pending.delete(asking)
  pending.add(asking)
  asking.then(done, done)
  return asking
}

/** What a contender asks for. */
export interface LeaseRequest {
  readonly name: string
  readonly holder: string
  readonly metadata: Metadata | undefined
  readonly timing: Timing
  /** Its place in line if it waits: larger ones go first. */
  readonly priority: number
  /** It wants a share of what several may hold, rather than a lease of its own. */
  readonly share: ShareRequest | undefined
  /** It is to be bound to a connection of its own. */
  readonly isBound?: boolean
}

/** A grant as the database gave it: a share has a name of its own. */
export interface Granted {
  readonly name: string
  readonly token: number
  /** How to give it back, if that is not `release_lease` on the control connection. */
  readonly release?: (() => Promise<boolean>) | undefined
}

const RELEASE_ATTEMPTS = 3

/**
 * That this process holds a lease: trust with a deadline, kept up in the background until the lease is given back or lost. What can be
 * done with it is in `Lease`.
 */
export class Holding implements AsyncDisposable {
  readonly name: string
  /** Who holds it, to the database: unique to this contender. */
  readonly holder: string
  /** Fencing token: larger than that of every earlier grant of this lease. */
  readonly token: number
  readonly metadata: Metadata | undefined
  /** @internal */
  readonly timing: Timing

  readonly #context: LeaseContext
  readonly #ending = new LazySignal()
  #trust: Trust
  #loss: LeaseLostError | undefined
  #release: Promise<boolean> | undefined
  #end: Promise<boolean> | undefined
  #work: Promise<unknown> | undefined
  #deadlineTimer: Timer | undefined
  readonly #onEnded: (() => void)[] = []
  #successor: string | undefined
  readonly #releaseElsewhere: (() => Promise<boolean>) | undefined
  #isOver = false

  /** @internal */
  constructor(context: LeaseContext, request: LeaseRequest, { name, token, release }: Granted, trust: Trust) {
    this.#releaseElsewhere = release
    this.name = name
    this.holder = request.holder
    this.token = token
    this.metadata = request.metadata
    this.timing = request.timing
    this.#context = context
    this.#trust = trust
    context.held.add(this)
    const { ttlMs, safetyMarginMs } = this.timing
    // What was handed over is short at first, and has to be renewed sooner than at the usual beat.
    context.heartbeat.add(this, trust.lastsMs < ttlMs - safetyMarginMs ? this.remainingMs / 3 : undefined)
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
    if (this.#isGivenUp) return false
    this.#catchUp()
    if (this.#isGivenUp) return false
    if (this.#trustedMs > 0) return true
    this.lose('it was not renewed before its deadline')
    return false
  }

  /** Milliseconds until this process stops trusting the lease unless it is renewed. Zero or less: not held. */
  get remainingMs(): number {
    this.#catchUp()
    return this.#trustedMs
  }

  get #trustedMs(): number {
    return remainingMs(this.#trust, this.#context.clock.now())
  }

  get #isGivenUp(): boolean {
    return this.#loss !== undefined || this.#release !== undefined
  }

  /** Takes in what another thread knows of it. Never after its end: nothing revives it. */
  #catchUp(): void {
    if (!this.#isGivenUp) this.#context.heartbeat.catchUp?.(this)
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
    else this.#onEnded.push(callback)
  }

  /** @internal Why it was lost, if it was. */
  get loss(): LeaseLostError | undefined {
    return this.isHeld ? undefined : this.#loss
  }

  /**
   * @internal Runs the work that the lease is for, then gives the lease back.
   *
   * @throws what the work threw; LeaseLostError if the lease was lost before the work had settled, whatever it returned.
   */
  async cover<T>(work: (lease: this) => T | Promise<T>): Promise<T> {
    try {
      const result = await this.run(work)
      if (this.loss !== undefined) throw this.loss
      return result
    } finally {
      await this.release()
    }
  }

  /** @internal Runs work that the lease covers, so that {@link end} can wait for it. */
  async run<T>(work: (lease: this) => T | Promise<T>): Promise<T> {
    const running = (async () => work(this))()
    this.#work = running.catch(() => undefined)
    return running
  }

  /**
   * @internal Asks the work to stop, waits for it while the lease is still being renewed, then releases.
   *
   * @param successor - the candidate to hand it to; else, or if that waits no more, the first in line gets it
   * @returns false if the work has not settled in time. The lease is then left to expire: releasing it would let another begin while
   * this one still works.
   */
  end(reason: unknown, timeoutMs: number, successor?: string): Promise<boolean> {
    this.#end ??= this.#drainAndRelease(reason, timeoutMs, successor)
    return this.#end
  }

  /** @internal Whether it is held still, but its work has been asked to stop. */
  get isDraining(): boolean {
    return this.#ending.isAborted && this.isHeld
  }

  async #drainAndRelease(reason: unknown, timeoutMs: number, successor?: string): Promise<boolean> {
    this.#successor = successor
    this.#ending.abort(() => reason)
    if (this.#work !== undefined && !(await this.#settles(this.#work, timeoutMs))) {
      const { heartbeat } = this.#context
      if (heartbeat.leaveToExpire === undefined) heartbeat.remove(this)
      else heartbeat.leaveToExpire(this)
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
    this.#catchUp()
    this.extendedBy([{ sentAt, expiresInMs }])
  }

  /** @internal Takes in renewals, the oldest first. */
  extendedBy(renewals: readonly Extension[]): void {
    // Each counts that was sent before the deadline that the ones before it had left, also where that has passed since and nobody has
    // seen it: trust was unbroken. What was sent later proves nothing: a server that was promoted meanwhile need not know of whoever
    // was granted the lease in between.
    const isUnbroken = renewals.every(({ sentAt, expiresInMs }) => {
      if (this.#isGivenUp || remainingMs(this.#trust, sentAt) <= 0) return false
      const trust = trustIn(this.timing, sentAt, expiresInMs)
      this.#trust = longerTrust(this.#trust, trust, this.#context.clock.now())
      return true
    })
    if (!isUnbroken) this.lose('it was not renewed before its deadline')
    // Its timer comes at the deadline that it was set for, and then looks anew: nothing is set for each lease at each beat.
    const isHeld = this.isHeld
    // The renewal came through after the deadline had passed here: what is lost stays lost, but nobody need wait for it.
    if (!isHeld && this.#loss !== undefined) void this.#releaseHere().catch(() => undefined)
  }

  /** @internal */
  refused(answer: LeaseAnswer): void {
    this.lose(
      answer.holder === null
        ? 'the database says that nobody holds it: it has expired, or was taken away'
        : `${answer.holder} holds it now`,
    )
  }

  /** @internal The lease is known to be lost. */
  lose(why: string): void {
    if (this.#isGivenUp) return
    this.#loss = new LeaseLostError(this.name, why)
    this.#deadlineTimer?.cancel()
    this.#context.heartbeat.remove(this)
    this.#context.logger.warn({ lease: this.name, token: this.token, why }, 'lost a lease')
    // First of all: a listener of the election that throws must not keep the work from being stopped.
    this.#ending.abort(() => this.#loss)
    this.#forget()
  }

  #forget(): void {
    this.#context.held.delete(this)
    if (this.#isOver) return
    this.#isOver = true
    for (const callback of this.#onEnded) callback()
  }

  #giveBack(): Promise<boolean> {
    this.#deadlineTimer?.cancel()
    this.#context.heartbeat.remove(this)
    this.#ending.abort(() => new LeaseLostError(this.name, 'it was released'))
    return this.#releaseOnce().then(
      (released) => {
        this.#context.heartbeat.released?.(this)
        this.#forget()
        return released
      },
      (error: unknown) => this.#releaseAgain(error),
    )
  }

  async #releaseAgain(firstError: unknown): Promise<boolean> {
    const { clock, logger } = this.#context
    let error = firstError
    try {
      for (let attempt = 1; ; attempt++) {
        logger.info({ lease: this.name, attempt, error: describeError(error) }, 'could not release a lease')
        if (attempt === RELEASE_ATTEMPTS) return false
        await new Wakeup(clock).wait(this.timing.retryIntervalMs)
        if (this.remainingMs <= 0) return false
        try {
          const released = await this.#releaseOnce()
          this.#context.heartbeat.released?.(this)
          return released
        } catch (nextError) {
          error = nextError
        }
      }
    } finally {
      this.#forget()
    }
  }

  #releaseOnce(): Promise<boolean> {
    const isPlain = this.#successor === undefined && this.#releaseElsewhere === undefined
    return isPlain ? this.#releaseHere() : this.#releaseOtherwise()
  }

  async #releaseOtherwise(): Promise<boolean> {
    if (this.#successor !== undefined && (await this.#handOver(this.#successor))) return true
    return this.#releaseElsewhere?.() ?? this.#releaseHere()
  }

  async #handOver(successor: string): Promise<boolean> {
    const { name, token, timing } = this
    const options = { timeoutMs: timing.queryTimeoutMs }
    const answer = await transferLease(this.#context.executor, { name, token, successor }, options)
    return answer.granted === true
  }

  #releaseHere(): Promise<boolean> {
    const { name, token, timing } = this
    return this.#context.calls.release({ name, token }, timing.queryTimeoutMs)
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

/** Never longer than the database has said: somebody else may have renewed the lease with another TTL. */
export function trustIn(
  { ttlMs, safetyMarginMs }: Timing,
  sentAt: Instant,
  expiresInMs: number | null,
): Trust {
  return trustFrom(sentAt, Math.min(ttlMs, expiresInMs ?? ttlMs), safetyMarginMs)
}
