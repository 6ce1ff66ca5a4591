/**
 * Asking once for a lease, for a contender of its own that nobody knows once it has been told no.
 *
 * Where the connection breaks before the answer, the lease may have been granted, to that contender. So it asks again under the same name:
 * what it was granted, it is then told, under the same token. Where the database cannot be asked for too long, whoever called is told so,
 * and what may have been granted is given back as soon as there is an answer: else it would keep everybody out for a TTL, the caller too.
 */
import { elapsedMs, type Instant } from './clock.ts'
import { ConnectionError, isTransient } from './errors.ts'
import { keepOpen, type LeaseContext, type LeaseRequest } from './holding.ts'
import { jittered } from './jitter.ts'
import type { Lease } from './lease.ts'
import { leaveQueue } from './line-queries.ts'
import { describeError } from './logger.ts'
import { askOpenly } from './request.ts'
import { Wakeup } from './wakeup.ts'

/**
 * Asks for a lease without waiting for whoever holds it. Null if it is refused.
 *
 * @throws ConnectionError if it cannot be found out whether it was granted; no attempt begins later than one query timeout after the
 * first that failed, or after the lease could not be trusted any more.
 */
export function tryLease(context: LeaseContext, request: LeaseRequest): Promise<Lease | null> {
  return keepOpen(context, askUntilSettled(context, request))
}

function askUntilSettled(context: LeaseContext, request: LeaseRequest): Promise<Lease | null> {
  const askedAt = context.clock.now()
  return askOpenly(context, request).catch((error: unknown) => askAgain(context, request, askedAt, error))
}

async function askAgain(
  context: LeaseContext,
  request: LeaseRequest,
  askedAt: Instant,
  firstError: unknown,
): Promise<Lease | null> {
  const { clock, random, logger } = context
  const { name, timing } = request
  let error = firstError
  let isUnknown = false
  let lastsMs = timing.ttlMs - timing.safetyMarginMs
  for (;;) {
    const spentMs = elapsedMs(askedAt, clock.now())
    if (!isUnknown && mayBeGranted(error)) {
      isUnknown = true
      lastsMs = Math.min(lastsMs, spentMs + timing.queryTimeoutMs)
    }
    if (!isUnknown) throw error
    const delayMs = jittered(timing.retryIntervalMs, random, 0.5)
    if (!isTransient(error) || spentMs + delayMs >= lastsMs) {
      giveBackLater(context, request)
      throw error
    }
    logger.info({ lease: name, error: describeError(error) }, 'a lease may have been granted, asking again')
    await new Wakeup(clock).wait(delayMs)
    try {
      return await askOpenly(context, request)
    } catch (nextError) {
      error = nextError
    }
  }
}

/** Whether a request that failed so may have been granted all the same. */
export function mayBeGranted(error: unknown): boolean {
  return error instanceof ConnectionError && error.mayHaveTakenEffect
}

/**
 * Gives back what a contender may have been granted, once the database can be asked; at the latest it expires by itself. Only for a
 * contender that does not come back: it would lose what it was granted meanwhile.
 */
export function giveBackLater(context: LeaseContext, request: LeaseRequest): void {
  void giveBack(context, request)
}

async function giveBack(context: LeaseContext, request: LeaseRequest): Promise<void> {
  const { clock, random, executor, logger } = context
  const { name, holder, timing } = request
  const pause = new Wakeup(clock)
  const beganAt = clock.now()
  do {
    try {
      await keepOpen(context, leaveQueue(executor, { name, holder }, { timeoutMs: timing.queryTimeoutMs }))
      return
    } catch (error) {
      if (!isTransient(error)) return
      logger.debug(
        { lease: name, error: describeError(error) },
        'a lease that may have been granted cannot be given back yet',
      )
    }
    await pause.wait(jittered(timing.retryIntervalMs, random, 0.5))
  } while (elapsedMs(beganAt, clock.now()) < timing.ttlMs)
}
