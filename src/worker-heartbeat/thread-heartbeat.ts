/**
 * The heartbeat in its thread: renews the leases that the main thread has registered, for as long as the main loop shows that it is
 * alive.
 *
 * The main loop answers pings. Once it has been silent for `hangTimeoutMs`, its leases are renewed no more, ever: they expire by
 * themselves, and another can lead. Nothing is released, as work in the main thread may still be running.
 */
import type { Clock, Instant, Timer } from '../clock.ts'
import { Heartbeat, type Renewable } from '../heartbeat.ts'
import type { Random } from '../jitter.ts'
import type { Logger } from '../logger.ts'
import type { Executor, LeaseAnswer } from '../queries.ts'
import type { Timing } from '../timing.ts'
import type { Command, News } from './messages.ts'

interface ThreadHeartbeatDependencies {
  readonly executor: Executor
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly hangTimeoutMs: number
  /** Gets the connection up. */
  readonly connect: () => void
  /** Tells the main thread. */
  readonly tell: (news: News) => void
  /** Asks the main loop for a sign of life: an `alive`. */
  readonly ping: () => void
}

/** The silence is known to a tenth, or to a second. */
const PINGS_PER_HANG = 10
const PING_INTERVAL_MS_MAX = 1000

export class ThreadHeartbeat {
  readonly #dependencies: ThreadHeartbeatDependencies
  readonly #heartbeat: Heartbeat
  readonly #leases = new Map<number, ThreadLease>()
  readonly #pingIntervalMs: number
  /** When the main loop last showed that it is alive, by its own word and the monotonic clock, which all threads share. */
  #aliveAtMs = Number.NEGATIVE_INFINITY
  /** When it was last asked for one; undefined: not since. */
  #askedAtMs: number | undefined
  #pingTimer: Timer | undefined
  #hangTimer: Timer | undefined

  constructor(dependencies: ThreadHeartbeatDependencies) {
    this.#dependencies = dependencies
    this.#heartbeat = new Heartbeat(dependencies)
    this.#pingIntervalMs = Math.min(PING_INTERVAL_MS_MAX, dependencies.hangTimeoutMs / PINGS_PER_HANG)
  }

  obey(command: Exclude<Command, { kind: 'close' }>): void {
    if (command.kind === 'add') this.#add(command)
    else if (command.kind === 'remove') void this.#remove(command.id)
    else this.#isAlive(command.at)
  }

  /** The connection was lost. */
  hurry(): void {
    this.#heartbeat.hurry()
  }

  #add({ id, name, token, timing, withinMs, at }: Extract<Command, { kind: 'add' }>): void {
    // The first beat must not wait for it: time may be short by then.
    if (this.#leases.size === 0) this.#dependencies.connect()
    const lease = new ThreadLease(id, name, token, timing, this.#dependencies.tell, () => this.#drop(id))
    this.#leases.set(id, lease)
    // It may have been on its way while this thread started.
    const underWayMs = this.#nowMs() - at.monotonicMs
    this.#heartbeat.add(lease, Math.max(0, Math.min(withinMs, timing.renewIntervalMs) - underWayMs))
    this.#isAlive(at)
  }

  async #remove(id: number): Promise<void> {
    const lease = this.#leases.get(id)
    if (lease !== undefined) {
      this.#heartbeat.remove(lease)
      this.#drop(id)
    }
    await this.#heartbeat.settled()
    this.#dependencies.tell({ kind: 'removed', id })
  }

  #drop(id: number): void {
    this.#leases.delete(id)
    if (this.#leases.size === 0) this.#stopWatching()
  }

  #isAlive(at: Instant): void {
    this.#aliveAtMs = Math.max(this.#aliveAtMs, at.monotonicMs)
    this.#stopWatching()
    if (this.#leases.size === 0) return
    this.#askedAtMs = undefined
    const { clock, hangTimeoutMs } = this.#dependencies
    // One at a time: while the main loop is silent they would pile up before it.
    this.#pingTimer = clock.setTimer(() => this.#ask(), this.#pingIntervalMs)
    this.#giveUpAfter(this.#aliveAtMs + hangTimeoutMs - this.#nowMs())
  }

  #ask(): void {
    this.#askedAtMs = this.#nowMs()
    this.#dependencies.ping()
  }

  #giveUpAfter(delayMs: number): void {
    const { clock } = this.#dependencies
    this.#hangTimer = clock.setTimer(() => this.#giveUp(), delayMs)
  }

  #giveUp(): void {
    this.#stopWatching()
    if (!this.#hasHadTime) {
      this.#ask()
      this.#giveUpAfter(this.#pingIntervalMs)
      return
    }
    for (const lease of this.#leases.values()) {
      this.#heartbeat.remove(lease)
      lease.giveUp()
    }
    this.#leases.clear()
  }

  /** Whether the main loop could have answered. Not if this thread has just been started, or was stopped itself: then it is asked again. */
  get #hasHadTime(): boolean {
    const askedAtMs = this.#askedAtMs
    if (askedAtMs === undefined) return false
    const graceMs = this.#pingIntervalMs / 2
    const dueAtMs = this.#aliveAtMs + this.#dependencies.hangTimeoutMs
    const now = this.#nowMs()
    return now - askedAtMs >= graceMs && (now - dueAtMs < graceMs || askedAtMs >= dueAtMs)
  }

  #stopWatching(): void {
    this.#pingTimer?.cancel()
    this.#hangTimer?.cancel()
  }

  #nowMs(): number {
    return this.#dependencies.clock.now().monotonicMs
  }
}

/** A lease as its thread knows it: it passes on what the database answers. */
class ThreadLease implements Renewable {
  readonly name: string
  readonly token: number
  readonly timing: Timing
  readonly #id: number
  readonly #tell: (news: News) => void
  readonly #onRefused: () => void
  #isGivenUp = false

  constructor(
    id: number,
    name: string,
    token: number,
    timing: Timing,
    tell: (news: News) => void,
    onRefused: () => void,
  ) {
    this.#id = id
    this.name = name
    this.token = token
    this.timing = timing
    this.#tell = tell
    this.#onRefused = onRefused
  }

  extended(sentAt: Instant, expiresInMs: number | null): void {
    // A renewal that was under way when the main loop was given up prolongs nothing here.
    if (!this.#isGivenUp) this.#tell({ kind: 'extended', id: this.#id, sentAt, expiresInMs })
  }

  refused(answer: LeaseAnswer): void {
    this.#onRefused()
    this.#tell({ kind: 'refused', id: this.#id, answer })
  }

  giveUp(): void {
    this.#isGivenUp = true
    this.#tell({ kind: 'hung', id: this.#id })
  }
}
