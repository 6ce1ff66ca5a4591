/**
 * A mutex: at most one contender of all processes has it. Two ways to wait, each first come, first served:
 *
 * - `line`: in the table's line, without a connection; by priority; whoever unlocks hands the lease to the next one.
 * - `queue`: in the server's own lock queue, on a connection for each that waits or holds. About twice as fast; no priorities, and one
 *   that waits for longer than a second stands at the end again.
 */
import { acquireWithin, requireWait, WAIT_KEYS, type WaitOptions, withinTime } from '../acquire.ts'
import { requireFunction, requireKnownKeys, requirePriority } from '../arguments.ts'
import { makeHolder } from '../holder.ts'
import type { LeaseRequest } from '../holding.ts'
import type { Lease } from '../lease.ts'
import type { LeaseOptions } from '../options.ts'
import type { Metadata } from '../queries.ts'
import { tryLease } from '../try-lease.ts'
import type { BindingContext } from '../takeover.ts'
import type { Timing } from '../timing.ts'
import { lockInQueue, tryInQueue } from './lock-queue.ts'

/** How to wait for a mutex. */
export interface LockOptions extends WaitOptions {
  /** Place in line: larger ones go first. Only where the mutex waits in line. Default 0. */
  priority?: number
}

/** Where contenders of a mutex wait. All of one name have to wait in the same place to be served in order. */
export type MutexWait = 'line' | 'queue'

/** Options of a mutex. */
export interface MutexOptions extends LeaseOptions {
  /** Where contenders wait: in the table's `line`, or in the server's lock `queue`, on a connection each. Default `line`. */
  wait?: MutexWait
}

/** What primitives need of their client. */
export interface PrimitiveContext extends BindingContext {
  readonly holderLabel: string | undefined
  readonly drainTimeoutMs: number
}

/** A mutex that is backed by a lease: renewed while it is held, fenced by its token, free one TTL after its holder crashed. */
export class Mutex {
  readonly name: string
  readonly #context: PrimitiveContext
  readonly #options: { timing: Timing; metadata: Metadata | undefined; wait: MutexWait }

  /** @internal Made by `PgElect.mutex`. */
  constructor(
    context: PrimitiveContext,
    name: string,
    options: { timing: Timing; metadata: Metadata | undefined; wait: MutexWait },
  ) {
    this.name = name
    this.#context = context
    this.#options = options
  }

  /**
   * Waits for the mutex. Keep to `await using`, or call `release()`.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; PoolerError for `queue` behind a connection pooler;
   * InvalidArgumentError on a bad option.
   */
  async lock(options: LockOptions = {}): Promise<Lease> {
    const { wait } = this.#options
    // The server's queue knows no priorities: one that is ignored would be worse than one that is refused.
    requireKnownKeys(
      'the options of a lock',
      options,
      wait === 'line' ? ['priority', ...WAIT_KEYS] : WAIT_KEYS,
    )
    const { priority = 0 } = options
    requirePriority(priority)
    requireWait(options)
    const request = { ...this.#request(), priority }
    if (wait === 'line') return acquireWithin(this.#context, request, options)
    return withinTime(this.#context, this.name, options, (signal) =>
      lockInQueue(this.#context, request, signal),
    )
  }

  /** Takes the mutex if it is free and nobody waits for it; null otherwise. */
  async tryLock(): Promise<Lease | null> {
    this.#context.closing.throwIfAborted()
    if (this.#options.wait === 'queue') return tryInQueue(this.#context, this.#request())
    return tryLease(this.#context, this.#request())
  }

  /**
   * Waits for the mutex, runs the work while it is held, and gives it back. `work` must stop when `lease.signal` aborts.
   *
   * @returns what the work returned.
   * @throws what the work threw; LeaseLostError if the lease was lost before the work had settled; and as {@link lock}.
   */
  async withLock<T>(work: (lease: Lease) => T | Promise<T>, options: LockOptions = {}): Promise<T> {
    requireFunction('work', work)
    const lease = await this.lock(options)
    return lease.cover(work)
  }

  #request(): LeaseRequest {
    const { timing, metadata } = this.#options
    const holder = makeHolder(this.#context.holderLabel)
    return { name: this.name, holder, metadata, timing, priority: 0, share: undefined }
  }
}
