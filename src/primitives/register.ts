import { requireKnownKeys, requireName, requireSignal, requireValue, requireVersion } from '../arguments.ts'
import {
  compareAndSwap,
  compareAndSwapVersion,
  type ExecuteOptions,
  type Executor,
  getLease,
} from '../queries.ts'
import { requireDuration, TTL_MS_MAX, TTL_MS_MIN } from '../timing.ts'
import type { PrimitiveContext } from './context.ts'
import { looks } from './looks.ts'

/** Options of a compare-and-swap. */
export interface SwapOptions {
  /** After this time the key is empty again. From 100 to 86,400,000; default: it does not expire. */
  ttlMs?: number
}

/** For how long to watch. */
export interface WatchOptions {
  /** Ends it. */
  signal?: AbortSignal
}

/** The value of a key. */
export interface RegisterValue {
  readonly value: string
  /** Grows with every write of the key. */
  readonly version: number
  /** Milliseconds until the key is empty; null: it does not expire. */
  readonly expiresInMs: number | null
}

/** A value that all processes see alike and change by compare-and-swap. Null and '' mean empty. */
export class Register {
  readonly key: string
  readonly #context: PrimitiveContext

  /** @internal Made by `PgElect.register`. @throws InvalidArgumentError on a bad key. */
  constructor(context: PrimitiveContext, key: string) {
    requireName(key)
    this.key = key
    this.#context = context
  }

  /** The value; null: the key is empty. */
  async get(): Promise<RegisterValue | null> {
    return (await this.#read())?.seen ?? null
  }

  /**
   * Stores the value whatever is there; null and '' empty the key. Of several who set it at once, the last one wins.
   *
   * @returns the new version.
   * @throws InvalidArgumentError on a bad argument.
   */
  async set(value: string | null, options: SwapOptions = {}): Promise<number> {
    requireValue('value', value)
    requireSwapTtl(options)
    for (;;) {
      const version = (await this.get())?.version ?? 0
      const written = await this.compareAndSwapVersion(value, version, options)
      if (written !== null) return written
    }
  }

  /** Empties the key. @returns whether there was a value. */
  async clear(): Promise<boolean> {
    for (;;) {
      const current = await this.get()
      if (current === null) return false
      if ((await this.compareAndSwapVersion(null, current.version)) !== null) return true
    }
  }

  /**
   * Stores `next` if the value is `current`. Null and '' mean empty; an empty `next` empties the key.
   *
   * @returns false if the value is another.
   * @throws ValueMissingError if `current` is not empty but the key is; InvalidArgumentError on a bad argument.
   */
  async compareAndSwap(
    next: string | null,
    current: string | null,
    options: SwapOptions = {},
  ): Promise<boolean> {
    requireValue('next', next)
    requireValue('current', current)
    const ttlMs = requireSwapTtl(options)
    return compareAndSwap(this.#context.swaps, { key: this.key, next, current, ttlMs })
  }

  /**
   * Stores `next` if nothing was written since `version`. Version 0 expects the key to be empty.
   *
   * @returns the new version; null if something was written.
   * @throws InvalidArgumentError on a bad argument.
   */
  async compareAndSwapVersion(
    next: string | null,
    version: number,
    options: SwapOptions = {},
  ): Promise<number | null> {
    requireValue('next', next)
    requireVersion(version)
    const ttlMs = requireSwapTtl(options)
    return compareAndSwapVersion(this.#context.swaps, { key: this.key, next, version, ttlMs })
  }

  /**
   * The value: first as it is, then each change, an expiry too, until the signal aborts or the client closes. The same value written
   * again is no change. A slow reader misses changes in between, never the last one: a value that came and went between two looks is none.
   */
  async *watch(options: WatchOptions = {}): AsyncGenerator<RegisterValue | null, void, undefined> {
    requireWatch(options)
    const { closing, timing } = this.#context
    const stop = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal])
    const look = (asking: ExecuteOptions, executor: Executor) => this.#read(asking, executor)
    const expiresInMs = (read: Awaited<ReturnType<typeof look>>) => read?.seen.expiresInMs ?? null
    let told: number | null | undefined
    for await (const read of looks(this.#context, { name: this.key, timing, look, expiresInMs, stop })) {
      const token = read?.token ?? null
      if (token === told) continue
      told = token
      yield read?.seen ?? null
    }
  }

  /** With the token: every write of another value has one of its own, and every write after the key was empty. */
  async #read(
    options?: ExecuteOptions,
    executor: Executor = this.#context.executor,
  ): Promise<{ token: number; seen: RegisterValue } | undefined> {
    const lease = await getLease(executor, this.key, options)
    if (lease === undefined) return undefined
    const { token, holder: value, version, expiresInMs } = lease
    return { token, seen: { value, version, expiresInMs } }
  }
}

/** @throws InvalidArgumentError unless the options say for how long to watch. */
export function requireWatch(options: WatchOptions): void {
  requireKnownKeys('the options of a watch', options, ['signal'])
  requireSignal(options.signal)
}

/** @throws InvalidArgumentError on a bad option. */
export function requireSwapTtl(options: SwapOptions): number | undefined {
  requireKnownKeys('the options of a swap', options, ['ttlMs'])
  const { ttlMs } = options
  if (ttlMs !== undefined) requireDuration('ttlMs', ttlMs, TTL_MS_MIN, TTL_MS_MAX)
  return ttlMs
}
