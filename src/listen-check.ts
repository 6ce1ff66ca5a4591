/**
 * Looks, once in an interval, whether a session that listens still does: a connection that died in silence tells nobody anything, and a
 * session can have lost its LISTEN though all else is answered. Whoever only listens would never find out.
 *
 * It asks the server which channels the session listens to. That goes along with what is asked in the session anyway, where somebody asks
 * in time: so whoever looks once in an interval pays nothing for it, and all who listen in one session share it. Without an answer in time
 * the connection is given up, as with every question, and is listened to anew on the next one; what is missing is listened to again.
 */
import type { CompiledQuery } from 'kysely'
import type { Clock, Timer } from './clock.ts'
import { getChannels, withChannels } from './connection-queries.ts'
import type { Random } from './jitter.ts'
import { describeError, type Logger } from './logger.ts'
import type { ExecuteOptions, Executor } from './queries.ts'

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
  /** From one look at the channels to the next. */
  readonly intervalMs: number
  /** How long the answer may take. */
  readonly timeoutMs: number
}

/** What is asked in the session from this part of the interval on tells the channels, too. */
const EARLY_PART = 0.5
/** How much later than due, as a part of the time that is left. */
const LATE_PART = 0.1

export class ListenCheck {
  readonly #connection: Executor
  readonly #listening: Listening
  readonly #options: ListenCheckOptions
  #timer: Timer | undefined
  #checkedAtMs = 0

  constructor(connection: Executor, listening: Listening, options: ListenCheckOptions) {
    this.#connection = connection
    this.#listening = listening
    this.#options = options
  }

  /** The connection, for questions that the channels may be asked with: one `SELECT` each, on which nobody's lease depends. */
  readonly along: Executor = {
    execute: <Row>(query: CompiledQuery<Row>, options?: ExecuteOptions) =>
      this.#isNear ? this.#askAlong(query, options) : this.#connection.execute(query, options),
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

  get #dueAtMs(): number {
    return this.#checkedAtMs + this.#options.intervalMs
  }

  get #isNear(): boolean {
    const nearAtMs = this.#checkedAtMs + this.#options.intervalMs * EARLY_PART
    return this.#timer !== undefined && this.#nowMs() >= nearAtMs
  }

  #arm(): void {
    const { clock, random } = this.#options
    // Spread, as thousands of processes may have begun to listen when a server came up.
    const delayMs = Math.max(0, this.#dueAtMs - this.#nowMs()) * (1 + LATE_PART * random())
    this.#timer = clock.setTimer(() => void this.#look(), delayMs)
  }

  async #look(): Promise<void> {
    if (this.#listening.channels.length === 0) {
      this.#timer = undefined
      return
    }
    const timer = this.#timer
    // Something that was asked meanwhile may have told it.
    if (this.#nowMs() >= this.#dueAtMs) await this.#ask()
    // Unless it was stopped while the server was asked.
    if (this.#timer === timer) this.#arm()
  }

  async #ask(): Promise<void> {
    const { logger, timeoutMs } = this.#options
    const expected = [...this.#listening.channels]
    try {
      this.#compare(expected, await getChannels(this.#connection, { timeoutMs }))
    } catch (error) {
      // Either the connection has been given up, and whoever listens was told so, or it is alive.
      logger.debug({ error: describeError(error) }, 'could not look what is listened to')
      this.#checkedAtMs = this.#nowMs()
    }
  }

  async #askAlong<Row>(query: CompiledQuery<Row>, options?: ExecuteOptions): Promise<Row[]> {
    const expected = [...this.#listening.channels]
    const { rows, channels } = await withChannels(this.#connection, query, options)
    this.#compare(expected, channels)
    return rows
  }

  #compare(expected: readonly string[], channels: readonly string[]): void {
    this.#checkedAtMs = this.#nowMs()
    const heard = new Set(channels)
    const missed = expected.filter((channel) => !heard.has(channel))
    if (missed.length > 0) this.#listening.missed(missed)
  }
}
