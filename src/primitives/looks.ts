/**
 * Looking at what others change: at first, at each notification, whenever something may have run out without a word, and after each
 * lost connection, as notifications may have been lost with it.
 */
import { isTransient } from '../errors.ts'
import { jittered } from '../jitter.ts'
import { describeError } from '../logger.ts'
import type { ExecuteOptions, Executor } from '../queries.ts'
import type { Timing } from '../timing.ts'
import { Wakeup } from '../wakeup.ts'
import type { PrimitiveContext } from './context.ts'

/** What to look at. */
export interface Looking<T> {
  /** The lease or shared lease whose notifications say that something may have changed. */
  readonly name: string
  readonly timing: Timing
  /** Looks by that executor, which is the client's, and finds out by the way whether its session still listens. */
  readonly look: (options: ExecuteOptions, executor: Executor) => Promise<T>
  /** Milliseconds until something of it runs out, unless it is renewed. Null: nothing does. */
  readonly expiresInMs: (seen: T) => number | null
  /** Ends the looking, without an error. */
  readonly stop: AbortSignal
  /** Set off where there is another reason to look. */
  readonly changed?: Wakeup
}

/** Those who wait for the same expiry look within this time after it. */
const SPREAD_MS = 50
/** A timer, and the server's clock, can be that much early. */
const EXPIRY_GRACE_MS = 2

/** Yields what it sees at each look, changed or not. */
export async function* looks<T>(
  context: PrimitiveContext,
  { name, timing, look, expiresInMs, stop, changed = new Wakeup(context.clock) }: Looking<T>,
): AsyncGenerator<T, void, undefined> {
  const { notifier, random, logger } = context
  const executor = notifier.lookingBy(context.executor)
  if (stop.aborted) return
  const unwatch = notifier.watch(name, changed.wake)
  try {
    for (;;) {
      let seen: { what: T } | undefined
      try {
        seen = { what: await look({ timeoutMs: timing.queryTimeoutMs }, executor) }
      } catch (error) {
        if (!stop.aborted && !isTransient(error)) throw error
        logger.info({ lease: name, error: describeError(error) }, 'cannot look now, trying again')
      }
      if (stop.aborted) return
      // A look now and then makes up for a notification that the server left out.
      let delayMs = jittered(timing.ttlMs, random)
      if (seen === undefined) delayMs = jittered(timing.retryIntervalMs, random, 0.5)
      else {
        yield seen.what
        const expiryMs = expiresInMs(seen.what)
        if (expiryMs !== null) delayMs = Math.min(delayMs, expiryMs + EXPIRY_GRACE_MS + random() * SPREAD_MS)
      }
      await changed.wait(delayMs, stop)
      if (stop.aborted) return
    }
  } finally {
    unwatch()
  }
}

/** The earliest of several expiries; null: there is none. */
export function earliest(expiriesMs: Iterable<number | null>): number | null {
  let first: number | null = null
  for (const expiryMs of expiriesMs) {
    if (expiryMs !== null) first = Math.min(first ?? expiryMs, expiryMs)
  }
  return first
}
