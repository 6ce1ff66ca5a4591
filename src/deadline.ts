/**
 * The arithmetic of trust: until when a holder may believe that a lease is its own. Pure functions of instants.
 *
 * The database decides when a lease expires; a holder only stops sooner. It knows that the expiry lies at least one TTL after it
 * *sent* the request that was granted, however long the answer took. So its own deadline is
 *
 *     deadline = moment of sending + TTL − safety margin
 *
 * and an answer that arrives after that deadline grants nothing: a late yes is a no.
 */
import { elapsedMs, type Instant } from './clock.ts'

/** A span of trust that one granted request gives. */
export interface Trust {
  readonly sentAt: Instant
  readonly lastsMs: number
}

/** The trust that a request sent at `sentAt` gives once it is granted. */
export function trustFrom(sentAt: Instant, ttlMs: number, safetyMarginMs: number): Trust {
  return { sentAt, lastsMs: ttlMs - safetyMarginMs }
}

/** Milliseconds left until the deadline, negative after it. */
export function remainingMs(trust: Trust, now: Instant): number {
  return trust.lastsMs - elapsedMs(trust.sentAt, now)
}

/** Of two spans the one that ends later: an answer that overtakes another cannot take trust back. */
export function longerTrust(one: Trust, other: Trust, now: Instant): Trust {
  return remainingMs(other, now) > remainingMs(one, now) ? other : one
}
