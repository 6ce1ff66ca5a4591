/** What the primitives have in common: what they need of their client, and how one asks for a share. */
import { acquireWithin, requireWait, WAIT_KEYS, type WaitContext, type WaitOptions } from '../acquire.ts'
import { requireKnownKeys, requirePriority, requireText } from '../arguments.ts'
import { makeHolder } from '../holder.ts'
import type { LeaseRequest } from '../holding.ts'
import type { Lease } from '../lease.ts'
import { type LeaseOptions, resolveLeaseOptions } from '../options.ts'
import type { Executor, Metadata } from '../queries.ts'
import { tryLease } from '../try-lease.ts'
import type { ShareRequest } from '../share-queries.ts'
import type { Timing } from '../timing.ts'

/** What primitives need of their client. */
export interface PrimitiveContext extends WaitContext {
  /** For what may wait in the database: renewals must not stand behind it. */
  readonly swaps: Executor
  /** The durations of the client, for what has none of its own. */
  readonly timing: Timing
  readonly holderLabel: string | undefined
  readonly drainTimeoutMs: number
}

/** How to wait for a share. */
export interface ShareOptions extends WaitOptions {
  /** Place in line: larger ones go first, among equals who came first. Default 0. */
  priority?: number
}

/** Options of one share or lease with nothing left open. */
export interface ResolvedLeaseOptions {
  readonly timing: Timing
  readonly metadata: Metadata | undefined
}

/** A share beside any number of others. */
export const MEMBER: ShareRequest = { isExclusive: false, capacity: null }

/** Largest `integer` of the database. */
export const COUNT_MAX = 2 ** 31 - 1

const SHARED_NAME_BYTES_MAX = 180

/** @throws InvalidArgumentError unless it can name something shared, whose shares are named after it: text of 1 to 180 bytes. */
export function requireSharedName(name: unknown): asserts name is string {
  requireText('name', name, SHARED_NAME_BYTES_MAX)
}

/** What several may hold at once, as one client sees it. Each share is a lease of its own. */
export class Shares {
  readonly name: string
  readonly timing: Timing
  readonly #context: PrimitiveContext
  readonly #metadata: Metadata | undefined

  /**
   * @param alsoKnown - further option keys that the caller takes
   * @throws InvalidArgumentError on a bad name or option.
   */
  constructor(
    context: PrimitiveContext,
    name: string,
    options: LeaseOptions,
    alsoKnown: readonly string[] = [],
  ) {
    requireSharedName(name)
    const { timing, metadata } = resolveLeaseOptions(options, context.timing, alsoKnown)
    this.name = name
    this.timing = timing
    this.#context = context
    this.#metadata = metadata
  }

  /** Waits in line for a share. */
  async acquire(share: ShareRequest, options: ShareOptions, metadata?: Metadata): Promise<Lease> {
    requireKnownKeys('the options of a share', options, ['priority', ...WAIT_KEYS])
    const { priority = 0 } = options
    requirePriority(priority)
    requireWait(options)
    return acquireWithin(this.#context, { ...this.request(share, metadata), priority }, options)
  }

  /** Asks for a share once. Null if there is no room, or others wait for it. */
  async tryAcquire(share: ShareRequest): Promise<Lease | null> {
    this.#context.closing.throwIfAborted()
    return tryLease(this.#context, this.request(share))
  }

  /** What a new contender asks for. */
  request(share: ShareRequest, metadata = this.#metadata): LeaseRequest {
    const holder = makeHolder(this.#context.holderLabel)
    return { name: this.name, holder, metadata, timing: this.timing, priority: 0, share }
  }
}
