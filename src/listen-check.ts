/**
 * Looks whether a session that listens still does, when nothing has been asked in it for a while: a connection that died in silence tells
 * nobody anything, and whoever only listens would never find out.
 *
 * It asks the server which channels the session listens to. Without an answer in time the connection is given up, as with every question, and
 * is listened to anew on the next one; what is missing is listened to again.
 */
import type { Clock, Timer } from './clock.ts'
import type { Random } from './jitter.ts'
import { describeError, type Logger } from './logger.ts'
import type { Executor } from './queries.ts'
import { getChannels } from './session-queries.ts'

/** A connection, as far as this looks at it. */
export interface CheckedConnection extends Executor {
  /** When the server last answered anything, by the monotonic clock; undefined: never, or nobody knows. */
  readonly answeredAtMs?: number | undefined
}

/** Who listens. */
export interface Listening {
  /** What is listened to in the session at hand. */
  readonly channels: readonly string[]
  /** The session does not listen to these. */
  missed(channels: readonly string[]): void
}

export interface ListenCheckOptions {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** How long the connection may be silent. */
  readonly intervalMs: number
  /** How long the answer may take. */
  readonly timeoutMs: number
}

/** What answers other questions is alive, but may have stopped listening: the channels are looked at once in so many intervals. */
const BUSY_INTERVALS = 4
/** How much later than due, as a part of the time that is left. */
const LATE_PART = 0.1

export class ListenCheck {
  readonly #connection: CheckedConnection
  readonly #listening: Listening
  readonly #options: ListenCheckOptions
  #timer: Timer | undefined
  #checkedAtMs = 0

  constructor(connection: CheckedConnection, listening: Listening, options: ListenCheckOptions) {
    this.#connection = connection
    this.#listening = listening
    this.#options = options
  }

  /** Something has just been listened to. From now on it is looked at, until nothing is any more. */
  begin(): void {
    if (this.#timer !== undefined) return
    this.#checkedAtMs = this.#nowMs()
    this.#arm()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #nowMs(): number {
    return this.#options.clock.now().monotonicMs
  }

  #dueAtMs(): number {
    const { intervalMs } = this.#options
    const heardAtMs = Math.max(this.#checkedAtMs, this.#connection.answeredAtMs ?? 0)
    return Math.min(heardAtMs + intervalMs, this.#checkedAtMs + BUSY_INTERVALS * intervalMs)
  }

  #arm(): void {
    const { clock, random } = this.#options
    // Spread, as thousands of processes may have begun to listen when a server came up.
    const delayMs = Math.max(0, this.#dueAtMs() - this.#nowMs()) * (1 + LATE_PART * random())
    this.#timer = clock.setTimer(() => void this.#look(), delayMs)
  }

  async #look(): Promise<void> {
    if (this.#listening.channels.length === 0) {
      this.#timer = undefined
      return
    }
    const timer = this.#timer
    // Something may have been answered meanwhile.
    if (this.#nowMs() >= this.#dueAtMs()) await this.#check()
    // Unless it was stopped while the server was asked.
    if (this.#timer === timer) this.#arm()
  }

  async #check(): Promise<void> {
    const { logger, timeoutMs } = this.#options
    const expected = [...this.#listening.channels]
    try {
      const channels = new Set(await getChannels(this.#connection, { timeoutMs }))
      const missed = expected.filter((channel) => !channels.has(channel))
      if (missed.length > 0) this.#listening.missed(missed)
    } catch (error) {
      // Either the connection has been given up, and whoever listens was told so, or it is alive.
      logger.debug({ error: describeError(error) }, 'could not look what is listened to')
    }
    this.#checkedAtMs = this.#nowMs()
  }
}
