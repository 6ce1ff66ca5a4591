/**
 * Where reads go that may be a little behind: to a connection of their own, such as one to a standby, or to the control connection while
 * that one cannot be asked.
 */
import type { Clock } from './clock.ts'
import { ClosedError, InvalidArgumentError } from './errors.ts'
import { describeError, type Logger } from './logger.ts'
import type { Executor } from './queries.ts'

interface ReadsDependencies {
  readonly clock: Clock
  readonly logger: Logger
  readonly retryIntervalMs: number
}

/** How many retry intervals a connection that failed is left alone for. */
const RETRY_FACTOR = 10

export class Reads {
  readonly #control: Executor
  readonly #standby: Executor | undefined
  readonly #dependencies: ReadsDependencies
  /** While it is down: when to look whether it is up again, by the monotonic clock. */
  #retryAtMs: number | undefined
  #isLooking = false

  /** @param standby - undefined: there is none */
  constructor(control: Executor, standby: Executor | undefined, dependencies: ReadsDependencies) {
    this.#control = control
    this.#standby = standby
    this.#dependencies = dependencies
  }

  /** Asks something that may be answered a little behind. @throws PgElectError as the control connection does. */
  async ask<Answer>(question: (executor: Executor) => Promise<Answer>): Promise<Answer> {
    const standby = this.#standby
    if (standby === undefined) return question(this.#control)
    if (this.#retryAtMs !== undefined) {
      // Nobody waits for that: it can take as long as a connection may.
      if (this.#nowMs() >= this.#retryAtMs) void this.#look(question, standby)
      return question(this.#control)
    }
    try {
      return await question(standby)
    } catch (error) {
      if (error instanceof InvalidArgumentError || error instanceof ClosedError) throw error
      this.#isDown(error)
      return question(this.#control)
    }
  }

  async #look(question: (executor: Executor) => Promise<unknown>, standby: Executor): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await question(standby)
      this.#retryAtMs = undefined
    } catch (error) {
      this.#isDown(error)
    } finally {
      this.#isLooking = false
    }
  }

  #isDown(error: unknown): void {
    const { logger, retryIntervalMs } = this.#dependencies
    if (this.#retryAtMs === undefined) {
      logger.info(
        { error: describeError(error) },
        'readConnection cannot be asked now, reading from the primary',
      )
    }
    this.#retryAtMs = this.#nowMs() + RETRY_FACTOR * retryIntervalMs
  }

  #nowMs(): number {
    return this.#dependencies.clock.now().monotonicMs
  }
}
