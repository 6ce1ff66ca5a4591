/**
 * Waiting for a lease, without polling: a candidate asks, and asks again when the database says that something changed, when the lease
 * that it was refused runs out, or when an attempt has failed.
 */
import { isTransient } from './errors.ts'
import type { LeaseContext, LeaseRequest } from './holding.ts'
import { jittered, type Random } from './jitter.ts'
import { Lease, requestLease } from './lease.ts'
import { describeError } from './logger.ts'
import type { Notifier } from './notifier.ts'
import { type LeaseAnswer, releaseLease } from './queries.ts'
import type { Timing } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** What candidates of one client share. */
export interface CandidacyContext extends LeaseContext {
  readonly notifier: Notifier
}

/** Candidates that hear of the same change try within this time of each other. */
const NOTIFIED_SPREAD_MS = 5
/** Candidates that wait for the same expiry try within this time after it. */
const EXPIRED_SPREAD_MS = 50
/** A lease that changes hands, or is in use by a guarded transaction, sends no word when that is over: look often. */
const UNSETTLED_RETRY_MS = 100

/**
 * Waits until the lease is granted.
 *
 * @throws the signal's reason if it aborts; a grant that was under way is then given back.
 * @throws PgElectError if asking again cannot help (a bad argument, no access, no schema).
 */
export async function waitForLease(
  context: CandidacyContext,
  request: LeaseRequest,
  signal: AbortSignal,
): Promise<Lease> {
  const { clock, random, notifier, logger } = context
  const { name, timing } = request
  const changed = new Wakeup(clock)
  let unwatch: (() => void) | undefined
  let lateToken: number | null = null
  try {
    for (;;) {
      if (signal.aborted) {
        // Granted, but too late to be trusted: known to be its own, it need not keep the others out.
        if (lateToken !== null)
          await releaseLease(context.executor, { name, token: lateToken }).catch(() => undefined)
        throw signal.reason
      }
      let delayMs: number
      try {
        const outcome = await requestLease(context, request)
        if (outcome instanceof Lease) return await unlessAborted(outcome, signal)
        lateToken = outcome.holder === request.holder ? outcome.token : null
        delayMs = nextAttemptInMs(outcome, request.holder, timing, random)
        logger.debug({ lease: name, holder: outcome.holder, delayMs }, 'waiting for a lease')
      } catch (error) {
        if (!isTransient(error)) throw error
        delayMs = jittered(timing.retryIntervalMs, random, 0.5)
        logger.info({ lease: name, error: describeError(error) }, 'could not ask for a lease, trying again')
      }
      // Only now: who is granted the lease at once needs no LISTEN. It wakes this loop when it is in force.
      unwatch ??= notifier.watch(name, changed.wake)
      if (await changed.wait(delayMs, signal)) {
        await new Wakeup(clock).wait(random() * NOTIFIED_SPREAD_MS, signal)
      }
    }
  } finally {
    unwatch?.()
  }
}

async function unlessAborted(lease: Lease, signal: AbortSignal): Promise<Lease> {
  if (signal.aborted) {
    await lease.release()
    throw signal.reason
  }
  return lease
}

/** How long a refused candidate waits before it asks again, unless it is woken. */
export function nextAttemptInMs(answer: LeaseAnswer, self: string, timing: Timing, random: Random): number {
  if (answer.holder === null || answer.holder === self) {
    return jittered(Math.min(UNSETTLED_RETRY_MS, timing.retryIntervalMs), random, 0.5)
  }
  // It does not expire. A look now and then makes up for a notification that the server left out.
  if (answer.expiresInMs === null) return jittered(timing.ttlMs, random)
  return answer.expiresInMs + random() * EXPIRED_SPREAD_MS
}
