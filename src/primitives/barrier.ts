import { requireWait, WAIT_KEYS, type WaitOptions, withinTime } from '../acquire.ts'
import { requireKnownKeys } from '../arguments.ts'
import { InvalidArgumentError, ValueMissingError } from '../errors.ts'
import { getLeaseState } from '../queries.ts'
import type { PrimitiveContext } from './context.ts'
import { looks } from './looks.ts'
import { Register, type SwapOptions } from './register.ts'

const RAISED = 'raised'

/** A barrier that somebody raises, and at which all others wait until somebody lowers it. */
export class Barrier {
  readonly name: string
  readonly #context: PrimitiveContext
  readonly #register: Register

  /** @internal Made by `PgElect.barrier`. */
  constructor(context: PrimitiveContext, name: string) {
    this.name = name
    this.#context = context
    this.#register = new Register(context, name)
  }

  /**
   * Raises the barrier. It stays when this process ends, so where it might be forgotten give it a `ttlMs`. Where it is raised already, it
   * then lasts that long from now on at least.
   *
   * @param options - `ttlMs`: after this time it is lowered; from 100 to 86,400,000, default: for ever
   * @returns whether it was lowered before.
   * @throws InvalidArgumentError on a bad option, or if the name is that of a lease.
   */
  async raise(options: SwapOptions = {}): Promise<boolean> {
    for (;;) {
      if (await this.#register.compareAndSwap(RAISED, null, options)) return true
      if (await this.#swapRaised(RAISED, options)) return false
    }
  }

  /** Lowers the barrier: all who wait go on. @returns whether it was raised. */
  async lower(): Promise<boolean> {
    return this.#swapRaised(null)
  }

  /** Whether it is raised now. */
  async isRaised(): Promise<boolean> {
    return (await this.#register.get()) !== null
  }

  /**
   * Waits until the barrier is lowered; not at all if it is.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; ClosedError if the client closes;
   * InvalidArgumentError on a bad option.
   */
  async wait(options: WaitOptions = {}): Promise<void> {
    requireKnownKeys('the options of a barrier', options, WAIT_KEYS)
    requireWait(options)
    const { timing } = this.#context
    const name = this.name
    await withinTime(this.#context, name, options, async (stop) => {
      const raised = looks(this.#context, {
        name,
        timing,
        stop,
        look: (asking, executor) => getLeaseState(executor, name, asking),
        expiresInMs: ({ lease, graceMs }) => lease?.expiresInMs ?? graceMs,
      })
      for await (const barrier of raised) {
        // One that was raised may have been lost by a fail-over.
        if (barrier.lease === null && barrier.graceMs === null) return
      }
      throw stop.reason
    })
  }

  /** False if it is lowered. */
  async #swapRaised(next: string | null, options?: SwapOptions): Promise<boolean> {
    try {
      if (await this.#register.compareAndSwap(next, RAISED, options)) return true
    } catch (error) {
      if (error instanceof ValueMissingError) return false
      throw error
    }
    throw new InvalidArgumentError(
      `Invalid name: expected that of a barrier, got ${JSON.stringify(this.name)}, which is a lease, or a key with another value`,
    )
  }
}
