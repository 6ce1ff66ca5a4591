/**
 * An election: one lease that several candidates campaign for.
 *
 *                campaign()                 granted           resign(), transfer(), close()
 *     follower ─────────────▶ candidate ──────────────▶ leader ─────────────────────────▶ draining
 *        ▲                        │                        │                                 │
 *        └──── signal aborts ─────┘                        │                                 │
 *        └──────── lost, work ended ───────────────────────┴────── lost, work has settled ───┘
 *
 * The state is a belief with a deadline, not a fact: between looking at it and acting on it a process can be paused. What a stale
 * leader does after that is refused where it is guarded (`elect.assert_lease`), and can be told by its token elsewhere.
 */
import { EventEmitter } from 'node:events'
import {
  HOLDER_BYTES_MAX,
  requireFunction,
  requireKnownKeys,
  requireSignal,
  requireText,
} from './arguments.ts'
import { waitForLease } from './candidacy.ts'
import { AlreadyCampaigningError, isTransient, NoCandidateError, ResignedError } from './errors.ts'
import { makeHolder } from './holder.ts'
import type { LeaseRequest } from './holding.ts'
import { jittered } from './jitter.ts'
import type { Lease } from './lease.ts'
import { type CandidateInfo, getCandidates } from './line-queries.ts'
import { describeError } from './logger.ts'
import type { ResolvedElectionOptions } from './options.ts'
import { type Executor, getLease, type LeaseInfo } from './queries.ts'
import { watchStepDown } from './step-down.ts'
import { Binding, type BindingContext } from './takeover.ts'
import type { Timing } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** `draining`: it still holds the lease, but its work has been asked to stop. */
export type ElectionState = 'follower' | 'candidate' | 'leader' | 'draining'

/** The time in which this process holds the lease of an election. Its `token` is the term. */
export type Leadership = Lease

/** Who leads, after a change. */
export interface LeadershipChange {
  /** Null: nobody. */
  readonly leader: LeaseInfo | null
  /** Null: nobody, or nothing is known, as in the first change that is observed. */
  readonly previous: LeaseInfo | null
}

/** How long to campaign, lead or observe. */
export interface CampaignOptions {
  /** Ends it. */
  signal?: AbortSignal
}

interface ElectionEvents {
  /** This process became a follower, a candidate or the leader. */
  state: [state: ElectionState]
  /** This process leads. */
  elected: [leadership: Leadership]
  /** This process leads no more. */
  demoted: [leadership: Leadership]
}

/** What an election needs of its client. */
export interface ElectionContext extends BindingContext {
  readonly holderLabel: string | undefined
  readonly drainTimeoutMs: number
}

export class Election extends EventEmitter<ElectionEvents> {
  readonly name: string
  readonly #context: ElectionContext
  readonly #timing: Timing
  readonly #options: ResolvedElectionOptions
  #isCandidate = false
  #leadership: Leadership | undefined
  #lastState: ElectionState = 'follower'

  /** @internal Made by `PgElect.election`. */
  constructor(context: ElectionContext, name: string, options: ResolvedElectionOptions) {
    super()
    this.name = name
    this.#context = context
    this.#timing = options.timing
    this.#options = options
  }

  /** What this process is now. Computed afresh: a leader past its deadline is a follower. */
  get state(): ElectionState {
    if (this.#leadership?.isHeld === true) return this.#leadership.isDraining ? 'draining' : 'leader'
    return this.#isCandidate ? 'candidate' : 'follower'
  }

  /**
   * Stands for election and waits until elected.
   *
   * With `priority: null` it is never elected: it waits until it is stopped.
   *
   * @throws the signal's reason if it aborts, ClosedError if the client closes, AlreadyCampaigningError if this election object is
   * a candidate or leads, PoolerError with `takeover: 'connection'` behind a connection pooler.
   */
  async campaign(options: CampaignOptions = {}): Promise<Leadership> {
    const signal = signalOf(options)
    if (this.state !== 'follower') throw new AlreadyCampaigningError(this.name, this.state)
    const { closing, holderLabel } = this.#context
    const stop = anySignal(closing, signal)
    const { priority, metadata } = this.#options
    if (priority === null) return never(stop)
    const holder = makeHolder(holderLabel)
    const request = {
      name: this.name,
      holder,
      metadata,
      timing: this.#timing,
      priority,
      share: undefined,
      isBound: this.#options.takeover === 'connection',
    }
    this.#isCandidate = true
    this.#tellState()
    try {
      const leadership = await this.#stand(request, stop)
      this.#isCandidate = false
      this.#begin(leadership)
      return leadership
    } finally {
      this.#isCandidate = false
      this.#tellState()
    }
  }

  /** Rides out what is transient, as the wait for the lease itself does. */
  async #bindable(request: LeaseRequest, stop: AbortSignal): Promise<Binding> {
    const { clock, random, logger } = this.#context
    for (;;) {
      stop.throwIfAborted()
      try {
        return await Binding.open(this.#context, request)
      } catch (error) {
        if (!isTransient(error)) throw error
        logger.info({ election: this.name, error: describeError(error) }, 'could not connect, trying again')
        await new Wakeup(clock).wait(jittered(this.#timing.retryIntervalMs, random, 0.5), stop)
      }
    }
  }

  async #stand(request: LeaseRequest, stop: AbortSignal): Promise<Leadership> {
    if (this.#options.takeover === 'expiry') return waitForLease(this.#context, request, stop)
    const binding = await this.#bindable(request, stop)
    const changed = new Wakeup(this.#context.clock)
    void binding.wait(changed.wake)
    try {
      const leadership = await waitForLease(this.#context, request, stop, changed)
      void binding.bind(leadership)
      return leadership
    } catch (error) {
      binding.close()
      throw error
    }
  }

  /**
   * Campaigns, runs the work while leading, and campaigns again whenever the leadership is lost. `work` must stop when
   * `leadership.signal` aborts; it is never run twice at once, so one that does not stop keeps this candidate out.
   *
   * @returns what the work returned, once it ended by itself; the lease is released then.
   * @throws what the work threw by itself; the signal's reason if it aborts; ClosedError if the client closes.
   */
  async lead<T>(work: (leadership: Leadership) => T | Promise<T>, options: CampaignOptions = {}): Promise<T> {
    requireFunction('work', work)
    const stop = anySignal(this.#context.closing, signalOf(options))
    for (;;) {
      const leadership = await this.campaign({ signal: stop })
      const outcome = await this.#serve(leadership, work, stop)
      if (outcome.endedByItself) return outcome.result()
      stop.throwIfAborted()
      if (leadership.signal.reason instanceof ResignedError) await this.#standBack(stop)
    }
  }

  /**
   * Gives the leadership up: asks the work to stop through `leadership.signal`, waits until it has settled, and releases the lease.
   * A `lead` that goes on stands in line again; if nobody waited, after one beat, so that another can go first. Does nothing unless this process leads.
   *
   * @returns false if the work has not stopped within `drainTimeoutMs`: the lease is then left to expire.
   */
  async resign(): Promise<boolean> {
    return this.#giveUp()
  }

  /**
   * Hands the leadership on: as {@link resign}, but only to a candidate that waits. With `takeover: 'connection'`, too, its work begins
   * once that of this leader has settled.
   *
   * @param to - the candidate, by its name in `candidates()`. Default: the first in line.
   * @returns false if the work has not stopped within `drainTimeoutMs`: the lease is then left to expire; or if this process does not lead.
   * @throws NoCandidateError if nobody waits, or not the one that is named; this process then leads on.
   */
  async transfer(to?: string): Promise<boolean> {
    if (to !== undefined) requireText('to', to, HOLDER_BYTES_MAX)
    if (this.#leadership?.isHeld !== true) return false
    const waiting = await this.candidates()
    if (to === undefined ? waiting.length === 0 : !waiting.some(({ candidate }) => candidate === to)) {
      throw new NoCandidateError(this.name, to)
    }
    return this.#giveUp(to)
  }

  /** Who waits to be elected, the next one first. */
  async candidates(): Promise<CandidateInfo[]> {
    return getCandidates(this.#context.executor, this.name, { timeoutMs: this.#timing.queryTimeoutMs })
  }

  /** Who leads now, by the database; null: nobody. */
  async leader(): Promise<LeaseInfo | null> {
    return this.#leader(this.#context.executor)
  }

  /**
   * Who leads: first how it is, then each change of leader, until the signal aborts or the client closes.
   *
   * A slow reader misses changes in between, never the last one. After a lost connection the state is read again. Renewals are no
   * changes.
   */
  async *observe(options: CampaignOptions = {}): AsyncGenerator<LeadershipChange, void, undefined> {
    const { notifier, clock, random } = this.#context
    const stop = anySignal(this.#context.closing, signalOf(options))
    const changed = new Wakeup(clock)
    const unwatch = notifier.watch(this.name, changed.wake)
    let previous: LeaseInfo | null | undefined
    try {
      while (!stop.aborted) {
        const leader = await this.#read(stop)
        if (leader === undefined) return
        if (previous === undefined || leader?.token !== previous?.token) {
          yield { leader, previous: previous ?? null }
        }
        previous = leader
        // Expiry sends no notification. A vacant lease is looked at once a TTL, in case a notification was left out.
        await changed.wait((leader?.expiresInMs ?? this.#timing.ttlMs) + random() * OBSERVED_SPREAD_MS, stop)
      }
    } finally {
      unwatch()
    }
  }

  async #giveUp(to?: string): Promise<boolean> {
    const leadership = this.#leadership
    if (leadership?.isHeld !== true) return true
    return leadership.end(new ResignedError(this.name), this.#context.drainTimeoutMs, to)
  }

  async #leader(executor: Executor): Promise<LeaseInfo | null> {
    const options = { timeoutMs: this.#timing.queryTimeoutMs }
    return (await getLease(executor, this.name, options)) ?? null
  }

  /** Undefined if stopped before the database could be asked. */
  async #read(stop: AbortSignal): Promise<LeaseInfo | null | undefined> {
    const { clock, random, logger, notifier, executor } = this.#context
    while (!stop.aborted) {
      try {
        return await this.#leader(notifier.lookingBy(executor))
      } catch (error) {
        if (stop.aborted) return undefined
        if (!isTransient(error)) throw error
        logger.info({ lease: this.name, error: describeError(error) }, 'cannot read who leads, trying again')
        await new Wakeup(clock).wait(jittered(this.#timing.retryIntervalMs, random, 0.5), stop)
      }
    }
    return undefined
  }

  async #serve<T>(
    leadership: Leadership,
    work: (leadership: Leadership) => T | Promise<T>,
    stop: AbortSignal,
  ): Promise<{ endedByItself: boolean; result: () => T }> {
    const running = leadership.run(work)
    const end = () => void leadership.end(stop.reason, this.#context.drainTimeoutMs)
    stop.addEventListener('abort', end, { once: true })
    if (stop.aborted) end()
    let result: () => T
    try {
      const value = await running
      result = () => value
    } catch (error) {
      result = () => {
        throw error
      }
    }
    stop.removeEventListener('abort', end)
    // Looked at before the release, which aborts the signal as well.
    const endedByItself = leadership.isHeld && !leadership.signal.aborted
    await leadership.release()
    return { endedByItself, result }
  }

  async #standBack(stop: AbortSignal): Promise<void> {
    // One who waited was handed the lease: then there is nobody to let pass.
    if ((await this.#read(stop)) !== null) return
    const { clock, random } = this.#context
    await new Wakeup(clock).wait(jittered(this.#timing.renewIntervalMs, random), stop)
  }

  #begin(leadership: Leadership): void {
    this.#leadership = leadership
    leadership.onEnded(() => {
      // A new one may have begun while the release of this one was still being tried.
      if (this.#leadership === leadership) this.#leadership = undefined
      this.#tell('demoted', leadership)
      this.#tellState()
    })
    const drains = () => leadership.isDraining && this.#tellState()
    leadership.signal.addEventListener('abort', drains, { once: true })
    void watchStepDown(this.#context, leadership, () => {
      this.#context.logger.info({ election: this.name }, 'was asked to step down')
      void this.#giveUp()
    })
    this.#tellState()
    this.#tell('elected', leadership)
  }

  /** A listener that throws is its owner's fault; the election, and the lease that it keeps, must go on. */
  #tell<Event extends keyof ElectionEvents>(event: Event, ...args: ElectionEvents[Event]): void {
    try {
      ;(this as EventEmitter).emit(event, ...args)
    } catch (error) {
      this.#context.logger.error(
        { election: this.name, event, error: describeError(error) },
        'a listener threw',
      )
    }
  }

  #tellState(): void {
    const state = this.state
    if (state === this.#lastState) return
    this.#lastState = state
    this.#tell('state', state)
  }
}

/** Observers of the same expiry look within this time after it. */
const OBSERVED_SPREAD_MS = 50

function signalOf(options: CampaignOptions): AbortSignal | undefined {
  requireKnownKeys('the options of an election', options, ['signal'])
  requireSignal(options.signal)
  return options.signal
}

/** @throws the signal's reason once it aborts. */
function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function anySignal(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other])
}
