/**
 * The renewal loop: one statement a beat renews all leases of the process that are due, and refreshes all its places in line,
 * however many there are.
 *
 * A beat that fails is followed by quick retries until each lease's own deadline ends them: losing the connection is not losing the
 * lease. There is never a second statement beside one that is under way: what a slow server has not answered is not asked of it again and
 * again. The heartbeat decides nothing about trust; it tells each lease what the database answered.
 */
import type { Clock, Instant, Timer } from './clock.ts'
import { BusyError } from './errors.ts'
import { jittered, type Random } from './jitter.ts'
import { beat } from './line-queries.ts'
import { describeError, type Logger } from './logger.ts'
import type { Candidacy, Executor, LeaseAnswer } from './queries.ts'
import type { Timing } from './timing.ts'

/** What the heartbeat keeps alive. */
export interface Renewable {
  readonly name: string
  readonly token: number
  readonly timing: Timing
  /** The database has renewed it, asked at that moment, for `expiresInMs` from when it answered (null: for ever). */
  extended(sentAt: Instant, expiresInMs: number | null): void
  /** The database says that it is held no more. */
  refused(answer: LeaseAnswer): void
}

/** A lease that can also be told that it is lost. */
export interface KeptLease extends Renewable {
  lose(why: string): void
  /** As {@link Renewable.extended}, several times, the oldest first: it is looked at only once all have been taken in. */
  extendedBy(renewals: readonly Extension[]): void
}

/** A renewal that the database has granted, asked at that moment, for so long from when it answered (null: for ever). */
export interface Extension {
  readonly sentAt: Instant
  readonly expiresInMs: number | null
}

/** What keeps leases up: this heartbeat, or one in a thread of its own. */
export interface LeaseHeartbeat {
  /** As {@link Heartbeat.add}. */
  add(lease: KeptLease, withinMs?: number): void
  remove(lease: KeptLease): void
  /** As {@link Heartbeat.renewNow}. */
  renewNow(lease: KeptLease): Promise<void>
  /** As `remove`, where work that does not stop may still be running under it: nobody else is to have it before it has expired. */
  leaveToExpire?(lease: KeptLease): void
  /** What was removed has been given back, or handed on: the database has confirmed that. */
  released?(lease: KeptLease): void
  /** Tells the lease at once what became of it while the event loop was blocked, if anybody can know. */
  catchUp?(lease: KeptLease): void
}

/** A place in line that the heartbeat keeps. */
export interface Refreshable {
  readonly name: string
  readonly holder: string
  readonly timing: Timing
  /** The session that is to be told of a hand-off; undefined: the one that asks. The same for all places at any time. */
  readonly backend?: number | undefined
  /** By which to refresh it, where only places are due; the same for all places at any time. Default: the one given. */
  askingBy?(executor: Executor): Executor
  /** How it stands, as the database has answered. */
  stands(candidacy: Candidacy): void
}

interface HeartbeatDependencies {
  readonly executor: Executor
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * Leases due within this part of their interval ride along with a beat. With a half, leases of one interval that were granted at any
 * times all beat together from the second round on; a lease of a longer interval rides along at most every other time.
 */
const EARLY_PART = 0.5

/** One who waits for a renewal out of turn. */
interface Asking {
  resolve(): void
  reject(error: unknown): void
}

export class Heartbeat implements LeaseHeartbeat {
  readonly #dependencies: HeartbeatDependencies
  /** When each lease or place is to be renewed next, by the monotonic clock. */
  readonly #dueAtMs = new Map<Renewable | Refreshable, number>()
  /** Leases to be renewed by the next statement, whenever they are due, and who waits for that. */
  readonly #asked = new Map<Renewable, Asking[]>()
  #timer: Timer | undefined
  /** When that comes, by the monotonic clock; infinite: it is not set. */
  #timerAtMs = Number.POSITIVE_INFINITY
  #beating = false
  readonly #onSettled: (() => void)[] = []

  constructor(dependencies: HeartbeatDependencies) {
    this.#dependencies = dependencies
  }

  /**
   * Renews the lease, or keeps the place in line, from now on; it was granted or renewed a moment ago.
   *
   * @param withinMs - when to do so first, if that is earlier than its interval
   */
  add(lease: Renewable | Refreshable, withinMs = Number.POSITIVE_INFINITY): void {
    const nowMs = this.#nowMs()
    const dueAtMs = Math.min(this.#nextBeatAtMs(lease, nowMs), nowMs + withinMs)
    this.#dueAtMs.set(lease, dueAtMs)
    // No look at all the others: many come and go in a busy process.
    if (!this.#beating && dueAtMs < this.#timerAtMs) this.#armAt(dueAtMs, nowMs)
  }

  remove(lease: Renewable | Refreshable): void {
    // The timer may come for nothing then, and be set anew.
    if (this.#dueAtMs.delete(lease) && this.#dueAtMs.size === 0) this.#arm()
  }

  /**
   * Renews all leases soon: the connection was lost, and time may be short. Not at once, as all clients of a server that restarts
   * would come in the same instant.
   */
  hurry(): void {
    const now = this.#nowMs()
    const part = this.#dependencies.random()
    for (const [lease, dueAtMs] of this.#dueAtMs) {
      this.#dueAtMs.set(lease, Math.min(dueAtMs, now + lease.timing.retryIntervalMs * part))
    }
    this.#arm()
  }

  /**
   * Renews one lease now; while a statement is under way, as soon as that is over, together with all that are asked for meanwhile.
   *
   * @throws PgElectError if the database cannot be asked, or BusyError if it did not say yes or no; the lease is then tried again soon.
   */
  renewNow(lease: Renewable): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#asked.set(lease, [...(this.#asked.get(lease) ?? []), { resolve, reject }])
      if (!this.#beating) void this.#beat()
    })
  }

  /** Resolves once no beat is under way: what was removed is told nothing any more. */
  async settled(): Promise<void> {
    if (this.#beating) await new Promise<void>((resolve) => this.#onSettled.push(resolve))
  }

  #nowMs(): number {
    return this.#dependencies.clock.now().monotonicMs
  }

  #nextBeatAtMs(lease: Renewable | Refreshable, nowMs = this.#nowMs()): number {
    // Only ever early: late could be past the deadline. Spread, so that processes started together drift apart.
    return nowMs + lease.timing.renewIntervalMs * (1 - 0.1 * this.#dependencies.random())
  }

  #nextRetryAtMs(lease: Renewable | Refreshable): number {
    return this.#nowMs() + jittered(lease.timing.retryIntervalMs, this.#dependencies.random)
  }

  #arm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAtMs = Number.POSITIVE_INFINITY
    if (this.#beating || this.#dueAtMs.size === 0) return
    let earliest = Number.POSITIVE_INFINITY
    for (const dueAtMs of this.#dueAtMs.values()) earliest = Math.min(earliest, dueAtMs)
    this.#armAt(earliest, this.#nowMs())
  }

  #armAt(dueAtMs: number, nowMs: number): void {
    this.#timer?.cancel()
    this.#timerAtMs = dueAtMs
    this.#timer = this.#dependencies.clock.setTimer(() => void this.#beat(), dueAtMs - nowMs)
  }

  async #beat(): Promise<void> {
    this.#beating = true
    this.#arm()
    const asked = new Map(this.#asked)
    this.#asked.clear()
    const due = this.#due()
    const leases = [...new Set([...asked.keys(), ...due.filter(isLease)])]
    try {
      const answers = leases.length + due.length > 0 ? await this.#renew(leases, due.filter(isPlace)) : []
      for (const [place, lease] of leases.entries()) {
        const isSettled = answers[place]?.granted != null
        const busy = new BusyError(`Another transaction is at lease ${JSON.stringify(lease.name)}`)
        for (const { resolve, reject } of asked.get(lease) ?? []) isSettled ? resolve() : reject(busy)
      }
    } catch (error) {
      for (const { reject } of [...asked.values()].flat()) reject(error)
      if (due.length > 0) {
        this.#dependencies.logger.warn(
          { leases: due.length, error: describeError(error) },
          'a renewal failed, trying again until the deadline',
        )
      }
      for (const lease of due) this.#schedule(lease, this.#nextRetryAtMs(lease))
    } finally {
      this.#beating = false
      for (const resolve of this.#onSettled.splice(0)) resolve()
      if (this.#asked.size > 0) void this.#beat()
      else this.#arm()
    }
  }

  /** What is due now, with all that may ride along; nothing if nothing is. */
  #due(): (Renewable | Refreshable)[] {
    const now = this.#nowMs()
    const all = [...this.#dueAtMs]
    if (!all.some(([, dueAtMs]) => dueAtMs <= now)) return []
    return all
      .filter(([lease, dueAtMs]) => dueAtMs <= now + lease.timing.renewIntervalMs * EARLY_PART)
      .map(([lease]) => lease)
  }

  async #renew(
    leases: readonly Renewable[],
    places: readonly Refreshable[],
  ): Promise<readonly LeaseAnswer[]> {
    const { executor, clock } = this.#dependencies
    const timeoutMs = Math.min(...[...leases, ...places].map(({ timing }) => timing.queryTimeoutMs))
    const sentAt = clock.now()
    const told = places[0]?.backend
    // No lease depends on what else is asked along with a refresh.
    const by = leases.length === 0 ? (places[0]?.askingBy?.(executor) ?? executor) : executor
    const { renewed: answers, stand } = await beat(by, leases, places, { timeoutMs })
    for (const [place, lease] of leases.entries()) {
      const answer = answers[place]
      if (answer?.granted === true) {
        lease.extended(sentAt, answer.expiresInMs)
        // From the sending, as its trust: counted from a slow answer, it could miss the beat of the others for ever.
        this.#schedule(lease, this.#nextBeatAtMs(lease, sentAt.monotonicMs))
      } else if (answer?.granted === false) {
        this.#dueAtMs.delete(lease)
        lease.refused(answer)
      } else {
        this.#schedule(lease, this.#nextRetryAtMs(lease))
      }
    }
    for (const [index, place] of places.entries()) {
      if (!this.#dueAtMs.has(place)) continue
      const candidacy = stand[index]
      const isSettled = candidacy !== undefined && place.backend === told
      this.#schedule(place, isSettled ? this.#nextBeatAtMs(place) : this.#nextRetryAtMs(place))
      if (candidacy !== undefined) place.stands(candidacy)
    }
    return answers
  }

  /** A lease may have been removed while the database was asked: it does not come back. */
  #schedule(lease: Renewable | Refreshable, dueAtMs: number): void {
    if (this.#dueAtMs.has(lease)) this.#dueAtMs.set(lease, dueAtMs)
  }
}

function isLease(item: Renewable | Refreshable): item is Renewable {
  return 'token' in item
}

function isPlace(item: Renewable | Refreshable): item is Refreshable {
  return !isLease(item)
}
