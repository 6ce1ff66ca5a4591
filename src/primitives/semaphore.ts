import { requireCount } from '../arguments.ts'
import type { Lease } from '../lease.ts'
import type { LeaseOptions } from '../options.ts'
import { getShared, setCapacity } from '../share-queries.ts'
import { COUNT_MAX, type PrimitiveContext, type ShareOptions, Shares } from './context.ts'

/** Options of a semaphore. */
export interface SemaphoreOptions extends LeaseOptions {
  /** How many may have a permit at once, from 0 to 2,147,483,647, if nobody has used the semaphore before; see {@link Semaphore.setPermits}. */
  permits: number
}

/** So many permits, and no more, are held at once. A permit is a lease; that of a holder that crashed comes free one TTL later. */
export class Semaphore {
  readonly name: string
  readonly #context: PrimitiveContext
  readonly #shares: Shares
  readonly #permits: number

  /** @internal Made by `PgElect.semaphore`. */
  constructor(context: PrimitiveContext, name: string, options: SemaphoreOptions) {
    this.#shares = new Shares(context, name, options, ['permits'])
    requireCount('permits', options.permits, 0, COUNT_MAX)
    this.name = name
    this.#context = context
    this.#permits = options.permits
  }

  /**
   * Waits in line for a permit. Keep to `await using`, or call `release()`.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; ClosedError if the client closes;
   * InvalidArgumentError on a bad option, or if the name is that of a lease.
   */
  acquire(options: ShareOptions = {}): Promise<Lease> {
    return this.#shares.acquire(this.#permit, options)
  }

  /** Takes a permit if there is one and nobody waits for it. Null otherwise. */
  tryAcquire(): Promise<Lease | null> {
    return this.#shares.tryAcquire(this.#permit)
  }

  /**
   * Changes how many permits there are, for all who use the semaphore and for good. What is held stays held: fewer are reached as permits
   * are given back.
   *
   * @throws InvalidArgumentError unless it is a whole number from 0 to 2,147,483,647.
   */
  async setPermits(permits: number): Promise<void> {
    requireCount('permits', permits, 0, COUNT_MAX)
    await setCapacity(this.#context.swaps, { name: this.name, capacity: permits })
  }

  /** How many permits are held now. */
  async held(): Promise<number> {
    return (await getShared(this.#context.executor, this.name))?.held ?? 0
  }

  /** How many more permits could be held now, whoever waits for them; Infinity if SQL has lifted the limit. */
  async available(): Promise<number> {
    const shared = await getShared(this.#context.executor, this.name)
    if (shared === undefined) return this.#permits
    return Math.max(0, (shared.capacity ?? Number.POSITIVE_INFINITY) - shared.held)
  }

  get #permit() {
    return { isExclusive: false, capacity: this.#permits }
  }
}
