/** A session of the database and the leases that it keeps for this process: what is asked about them, and what the answers mean. */
import type { Clock } from './clock.ts'
import { fromDriver, ServerError } from './errors.ts'
import type { KeptLease } from './heartbeat.ts'
import { makeHolder } from './holder.ts'
import { jittered, type Random } from './jitter.ts'
import {
  endSession,
  type HeldLease,
  openSession,
  renewLeasesIn,
  renewSession,
  TOGETHER_MAX,
} from './kept-session-queries.ts'
import { describeError, type Logger } from './logger.ts'
import type { Executor, LeaseAnswer } from './queries.ts'
import { Leftovers } from './session-leftovers.ts'
import type { Timing } from './timing.ts'

export interface KeptSessionDependencies {
  readonly executor: Executor
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** The durations of the session, and of every lease that it keeps. */
  readonly timing: Timing
  /** The readable part of the name under which it is opened. */
  readonly holderLabel: string | undefined
}

interface Session {
  readonly id: string
  /** When the last renewal that was granted was sent, by the monotonic clock, and in which beat. */
  sentAtMs: number
  beat: number
  /** When it is to be renewed next. */
  dueAtMs: number
}

interface Entry {
  /** What keeps it; undefined: it is to be bound by its next renewal. */
  session: Session | undefined
  /** When that is due, by the monotonic clock. */
  dueAtMs: number
  /** From when on it has been kept here: what it was promised before is older. */
  readonly sinceMs: number
  /** The database may have bound it, though no answer said so. */
  mayBeBound: boolean
}

/** Leases due within this part of the interval are bound along with a beat. */
const EARLY_PART = 0.5

/** A lease is given back by so many attempts at most, each of which may wait to be sent, and then for its answer. */
const RELEASE_ATTEMPTS = 3

const LOST_WITH_SESSION = 'the session that kept it has ended: it was not renewed in time'

export class KeptSession {
  readonly #dependencies: KeptSessionDependencies
  readonly #leases = new Map<KeptLease, Entry>()
  readonly #leftovers: Leftovers
  #session: Session | undefined
  #beat = 0

  constructor(dependencies: KeptSessionDependencies) {
    this.#dependencies = dependencies
    this.#leftovers = new Leftovers(dependencies.executor, dependencies.clock)
  }

  /** Undefined: none is open. */
  get id(): string | undefined {
    return this.#session?.id
  }

  /** When there is something to do next, by the monotonic clock; infinite: never. */
  get dueAtMs(): number {
    let earliestMs = this.#session?.dueAtMs ?? Number.POSITIVE_INFINITY
    for (const { session, dueAtMs } of this.#leases.values()) {
      if (session === undefined) earliestMs = Math.min(earliestMs, dueAtMs)
    }
    return earliestMs
  }

  /** Whether there is neither a session nor a lease. */
  get isEmpty(): boolean {
    return this.#session === undefined && this.#leases.size === 0
  }

  has(lease: KeptLease): boolean {
    return this.#leases.has(lease)
  }

  /** Takes in a lease that was just granted. @returns when it is to be bound. */
  add(lease: KeptLease, withinMs: number): number {
    const sinceMs = this.#nowMs()
    const dueAtMs = Math.min(this.#nextBeatAtMs(), sinceMs + withinMs)
    // One that was lost here, and is its old holder's again under the same token, must not be given back any more.
    const mayBeBound = this.#leftovers.settled(lease)
    this.#leases.set(lease, { session: undefined, dueAtMs, sinceMs, mayBeBound })
    return dueAtMs
  }

  /**
   * It is held here no more, or its work may run on but is not to be renewed for (`isInUse`).
   *
   * @returns whether the session may keep it still.
   */
  forget(lease: KeptLease, isInUse: boolean): boolean {
    const entry = this.#leases.get(lease)
    this.#leases.delete(lease)
    if (entry?.mayBeBound !== true) return false
    const { queryTimeoutMs, retryIntervalMs } = this.#dependencies.timing
    // Whoever gives it back is given the time to.
    const withinMs = isInUse ? 0 : RELEASE_ATTEMPTS * (2 * queryTimeoutMs + retryIntervalMs)
    this.#leftovers.add(lease, { isInUse, withinMs })
    return true
  }

  /** The database has said that it is not held any more. */
  released(lease: HeldLease): void {
    this.#leftovers.settled(lease)
  }

  /** All is due by then. */
  hasten(atMs: number): void {
    if (this.#session !== undefined) this.#session.dueAtMs = Math.min(this.#session.dueAtMs, atMs)
    for (const entry of this.#leases.values()) entry.dueAtMs = Math.min(entry.dueAtMs, atMs)
  }

  /**
   * Does what is due: renews the session, opens one, binds leases to it.
   *
   * @param asked - leases to be renewed whether due or not
   * @returns which of these have been renewed, or are held no more.
   * @throws as the executor does; all that was due is then due again soon.
   */
  async beat(asked: ReadonlySet<KeptLease>): Promise<ReadonlySet<KeptLease>> {
    try {
      this.#beat += 1
      const nowMs = this.#nowMs()
      const session = this.#session
      if (session !== undefined && (session.dueAtMs <= nowMs || asked.size > 0 || this.#mustBind(asked))) {
        if (this.#leases.size === 0 && this.#leftovers.size === 0) await this.end()
        else await this.#renew(session)
      }
      if (this.#session === undefined && this.#mustBind(asked)) await this.#open()
      const current = this.#session
      if (current !== undefined && current.beat === this.#beat) {
        await this.#bindAll(current, asked)
        await this.#leftovers.see(current.id, this.#timeoutMs)
      }
      return new Set([...asked].filter((lease) => this.#isSettled(lease)))
    } catch (error) {
      this.#postpone()
      throw error
    }
  }

  /** Ends the session, unless work may still be running under what it keeps: then it expires by itself. */
  async end(): Promise<void> {
    const { executor, logger } = this.#dependencies
    const session = this.#session
    this.#session = undefined
    if (session === undefined) return
    try {
      await this.#leftovers.see(session.id, this.#timeoutMs)
      if (this.#leases.size > 0 || this.#leftovers.areInUse) return
      await endSession(executor, session.id, { timeoutMs: this.#timeoutMs })
    } catch (error) {
      logger.info(
        { error: describeError(error) },
        'could not end the session of the leases: it expires by itself',
      )
    } finally {
      this.#leftovers.clear()
    }
  }

  async #open(): Promise<void> {
    const { executor, logger, timing, holderLabel } = this.#dependencies
    const request = { holder: makeHolder(holderLabel), ttlMs: timing.ttlMs }
    const sentAtMs = this.#nowMs()
    const id = await openSession(executor, request, { timeoutMs: this.#timeoutMs })
    this.#session = { id, sentAtMs, beat: this.#beat, dueAtMs: this.#nextBeatAtMs() }
    logger.debug({ session: id }, 'opened a session for the leases of this process')
  }

  async #renew(session: Session): Promise<void> {
    const { executor, clock, logger } = this.#dependencies
    const sentAt = clock.now()
    const answer = await renewSession(executor, session.id, { timeoutMs: this.#timeoutMs })
    if (answer.granted === true) {
      session.sentAtMs = sentAt.monotonicMs
      session.beat = this.#beat
      session.dueAtMs = this.#nextBeatAtMs()
      this.#unbind(answer.lost)
      for (const [lease, entry] of this.#leases) {
        if (entry.session === session) lease.extended(sentAt, answer.expiresInMs)
      }
    } else if (answer.granted === false) {
      this.#session = undefined
      this.#leftovers.clear()
      const leases = [...this.#leases].filter(([, entry]) => entry.session === session)
      logger.info(
        { leases: leases.length, isNewEpoch: answer.mustReopen },
        'the session of the leases cannot be renewed',
      )
      // Another server, or one of another past: what it knows of each lease, it says when asked for that.
      if (answer.mustReopen) for (const [, entry] of leases) this.#unbindEntry(entry)
      else this.#loseAll(leases.map(([lease]) => lease))
    } else {
      this.#postpone()
    }
  }

  #loseAll(leases: readonly KeptLease[]): void {
    for (const lease of leases) this.#leases.delete(lease)
    for (const lease of leases) lease.lose(LOST_WITH_SESSION)
  }

  /** Told as lost: each is asked for by itself. One that came back under the same token is told as lost again and again. */
  #unbind(lost: readonly HeldLease[]): void {
    if (lost.length === 0) return
    const tokens = new Map(lost.map(({ name, token }) => [`${token} ${name}`, token]))
    for (const [{ name, token }, entry] of this.#leases) {
      if (entry.session !== undefined && tokens.has(`${token} ${name}`)) this.#unbindEntry(entry)
    }
  }

  #unbindEntry(entry: Entry): void {
    entry.session = undefined
    entry.dueAtMs = this.#nowMs()
  }

  /** Whether a lease has to be bound at this moment. */
  #mustBind(asked: ReadonlySet<KeptLease>): boolean {
    const nowMs = this.#nowMs()
    for (const [lease, { session, dueAtMs }] of this.#leases) {
      if (session === undefined && (dueAtMs <= nowMs || asked.has(lease))) return true
    }
    return false
  }

  /** Binds what is due, and what would be before the next beat: the most urgent first. */
  async #bindAll(session: Session, asked: ReadonlySet<KeptLease>): Promise<void> {
    const untilMs = this.#nowMs() + this.#dependencies.timing.renewIntervalMs * EARLY_PART
    const soon = [...this.#leases]
      .filter(
        ([lease, entry]) => entry.session === undefined && (entry.dueAtMs <= untilMs || asked.has(lease)),
      )
      // From now on a lease lasts for as long as its session, which so must last for longer than whatever the lease was promised before:
      // only a session that was renewed, or opened, after that does.
      .filter(([, { sinceMs }]) => sinceMs <= session.sentAtMs)
      .sort(([, one], [, other]) => one.dueAtMs - other.dueAtMs)
    for (let from = 0; from < soon.length; from += TOGETHER_MAX) {
      // The session comes first, as all others depend on it.
      if (session.dueAtMs <= this.#nowMs()) return
      const together = soon.slice(from, from + TOGETHER_MAX).filter(([lease]) => this.#leases.has(lease))
      if (together.length > 0) await this.#bind(session, together)
    }
  }

  async #bind(session: Session, together: readonly (readonly [KeptLease, Entry])[]): Promise<void> {
    const { executor, clock } = this.#dependencies
    for (const [, entry] of together) entry.mayBeBound = true
    const leases = together.map(([lease]) => lease)
    const sentAt = clock.now()
    let answers: readonly LeaseAnswer[]
    try {
      answers = await renewLeasesIn(executor, session.id, leases, { timeoutMs: this.#timeoutMs })
    } catch (error) {
      if (!saysSessionEnded(error)) throw error
      // What has become of it, its renewal says.
      session.dueAtMs = this.#nowMs()
      for (const [, entry] of together) entry.dueAtMs = this.#nextRetryAtMs()
      return
    }
    for (const [place, [lease, entry]] of together.entries()) {
      const answer = answers[place]
      // Given back meanwhile.
      if (!this.#leases.has(lease)) continue
      if (answer?.granted === true) {
        entry.session = session
        lease.extended(sentAt, answer.expiresInMs)
      } else if (answer?.granted === false) {
        this.#leases.delete(lease)
        lease.refused(answer)
      } else {
        entry.dueAtMs = this.#nextRetryAtMs()
      }
    }
  }

  /** What is due and was not done is tried again soon. */
  #postpone(): void {
    const nowMs = this.#nowMs()
    const retryAtMs = this.#nextRetryAtMs()
    if (this.#session !== undefined && this.#session.dueAtMs <= nowMs) this.#session.dueAtMs = retryAtMs
    for (const entry of this.#leases.values()) {
      if (entry.session === undefined && entry.dueAtMs <= nowMs) entry.dueAtMs = retryAtMs
    }
  }

  #isSettled(lease: KeptLease): boolean {
    const entry = this.#leases.get(lease)
    if (entry === undefined) return true
    return entry.session?.beat === this.#beat
  }

  get #timeoutMs(): number {
    return this.#dependencies.timing.queryTimeoutMs
  }

  #nowMs(): number {
    return this.#dependencies.clock.now().monotonicMs
  }

  #nextBeatAtMs(): number {
    const { timing, random } = this.#dependencies
    // Only ever early, and spread, as all beats.
    return this.#nowMs() + timing.renewIntervalMs * (1 - 0.1 * random())
  }

  #nextRetryAtMs(): number {
    const { timing, random } = this.#dependencies
    return this.#nowMs() + jittered(timing.retryIntervalMs, random)
  }
}

function saysSessionEnded(error: unknown): boolean {
  const mapped = fromDriver(error)
  return mapped instanceof ServerError && mapped.sqlState === 'LE004'
}
