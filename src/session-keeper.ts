/**
 * The heartbeat of a client that keeps its leases by one row of the database, a session: each beat renews that, however many leases
 * there are.
 *
 *     granted, as a lease of its own ──first renewal──▶ bound to the session ──each beat──▶ extended
 *                   ▲                                           │
 *                   └────── another epoch, or told as lost ─────┘   it proves itself by its token, and is bound anew
 *
 * A lease comes into the session by its first renewal, not by its grant: one that is given back before costs what it costs without, and
 * a grant whose answer was lost runs out by itself, which it would never do under a session that goes on.
 *
 * As with the heartbeat of single leases there is one statement at a time, a beat that fails is followed by quick retries until each
 * lease's own deadline ends them, and nothing here decides about trust.
 */
import type { Timer } from './clock.ts'
import { BusyError, ClosedError } from './errors.ts'
import type { KeptLease, LeaseHeartbeat } from './heartbeat.ts'
import type { LeaseRequest } from './holding.ts'
import { KeptSession, type KeptSessionDependencies } from './kept-session.ts'
import { describeError } from './logger.ts'
import type { Timing } from './timing.ts'

interface SessionKeeperDependencies extends KeptSessionDependencies {
  /** Renews, when asked to, what is in the session no more. */
  readonly heartbeat: Pick<LeaseHeartbeat, 'renewNow'>
}

/** One who waits for a renewal out of turn. */
interface Asking {
  resolve(): void
  reject(error: unknown): void
}

export class SessionKeeper implements LeaseHeartbeat {
  readonly #dependencies: SessionKeeperDependencies
  readonly #kept: KeptSession
  #asked = new Map<KeptLease, Asking[]>()
  #timer: Timer | undefined
  /** When that comes, by the monotonic clock; infinite: it is not set. */
  #timerAtMs = Number.POSITIVE_INFINITY
  #beating: Promise<void> | undefined
  #isClosed = false

  constructor(dependencies: SessionKeeperDependencies) {
    this.#dependencies = dependencies
    this.#kept = new KeptSession(dependencies)
  }

  /** The session that is open, for whoever gives a lease back; undefined: none. */
  get session(): string | undefined {
    return this.#kept.id
  }

  /** Whether the session can keep a lease that is so asked for: no share, not bound to a connection, with the durations of the client. */
  keeps({ share, isBound, timing }: Pick<LeaseRequest, 'share' | 'isBound' | 'timing'>): boolean {
    if (share !== undefined || isBound === true) return false
    const own = this.#dependencies.timing
    return timing === own || (Object.keys(own) as (keyof Timing)[]).every((key) => timing[key] === own[key])
  }

  add(lease: KeptLease, withinMs = Number.POSITIVE_INFINITY): void {
    const dueAtMs = this.#kept.add(lease, withinMs)
    if (this.#beating === undefined && dueAtMs < this.#timerAtMs) this.#armAt(dueAtMs)
  }

  remove(lease: KeptLease): void {
    this.#kept.forget(lease, false)
    if (this.#kept.isEmpty) this.#disarm()
  }

  leaveToExpire(lease: KeptLease): void {
    // Soon: it does not expire for as long as it is in the session.
    if (this.#kept.forget(lease, true)) this.hurry()
  }

  released(lease: KeptLease): void {
    this.#kept.released(lease)
  }

  /** Renews the session, and so all leases that it keeps. @throws as {@link LeaseHeartbeat.renewNow}. */
  renewNow(lease: KeptLease): Promise<void> {
    if (!this.#kept.has(lease)) return this.#dependencies.heartbeat.renewNow(lease)
    return new Promise((resolve, reject) => {
      this.#asked.set(lease, [...(this.#asked.get(lease) ?? []), { resolve, reject }])
      this.#start()
    })
  }

  /** Renews soon: the connection was lost, and time may be short. Not at once, as with {@link LeaseHeartbeat}s of other processes. */
  hurry(): void {
    const { random, timing } = this.#dependencies
    this.#kept.hasten(this.#nowMs() + timing.retryIntervalMs * random())
    this.#arm()
  }

  /** Ends the session, in bounded time. Leases must have been given back; what work may still be running under is left to expire. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#disarm()
    await this.#beating
    for (const { reject } of [...this.#asked.values()].flat()) reject(new ClosedError())
    await this.#kept.end()
  }

  #nowMs(): number {
    return this.#dependencies.clock.now().monotonicMs
  }

  #arm(): void {
    this.#disarm()
    const { dueAtMs } = this.#kept
    if (dueAtMs < Number.POSITIVE_INFINITY) this.#armAt(dueAtMs)
  }

  #armAt(dueAtMs: number): void {
    this.#disarm()
    if (this.#beating !== undefined || this.#isClosed) return
    this.#timerAtMs = dueAtMs
    this.#timer = this.#dependencies.clock.setTimer(() => this.#start(), dueAtMs - this.#nowMs())
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAtMs = Number.POSITIVE_INFINITY
  }

  #start(): void {
    if (this.#beating !== undefined || this.#isClosed) return
    this.#disarm()
    this.#beating = this.#beat()
  }

  async #beat(): Promise<void> {
    do await this.#beatOnce()
    while (!this.#isClosed && (this.#asked.size > 0 || this.#kept.dueAtMs <= this.#nowMs()))
    this.#beating = undefined
    this.#arm()
  }

  async #beatOnce(): Promise<void> {
    const asked = this.#asked
    this.#asked = new Map()
    try {
      const settled = await this.#kept.beat(new Set(asked.keys()))
      for (const [lease, all] of asked) {
        const busy = new BusyError(`Another transaction is at lease ${JSON.stringify(lease.name)}`)
        for (const { resolve, reject } of all) settled.has(lease) ? resolve() : reject(busy)
      }
    } catch (error) {
      for (const { reject } of [...asked.values()].flat()) reject(error)
      this.#dependencies.logger.warn(
        { session: this.session, error: describeError(error) },
        'a renewal failed, trying again until the deadline',
      )
    }
  }
}
