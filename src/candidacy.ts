/**
 * Waiting for a lease, in line: a candidate asks once and is given a place; from then on it is told. It asks again when the lease runs
 * out, when its place is gone, or when an attempt has failed. Each refresh of its place says how it stands, and puts off its next look.
 */
import { isTransient } from './errors.ts'
import { keepOpen, type LeaseContext, type LeaseRequest } from './holding.ts'
import { jittered, type Random } from './jitter.ts'
import { Lease } from './lease.ts'
import type { Line } from './line.ts'
import { leaveQueue } from './line-queries.ts'
import { describeError } from './logger.ts'
import type { Notifier } from './notifier.ts'
import type { Candidacy } from './queries.ts'
import { lookForLease, requestLease } from './request.ts'
import type { Timing } from './timing.ts'
import { Wakeup } from './wakeup.ts'

/** What candidates of one client share. */
export interface CandidacyContext extends LeaseContext {
  readonly notifier: Notifier
  readonly line: Line
}

/**
 * A lease that changes hands, or is in use by a guarded transaction, sends no word when that is over: look often. At first very soon, for a
 * change of hands takes as long as a commit, and others would go round meanwhile.
 */
const UNSETTLED_RETRY_MS = 100
const UNSETTLED_FIRST_RETRY_MS = 3
/** From an expiry to the first attempt: a timer, and the server's clock, can be that much early. */
const EXPIRY_GRACE_MS = 2
/** The database lets a candidate take a vacant lease this much later for each one that goes before it (`elect.is_turn`). */
const RANK_DELAY_MS = 250
/** How often the second in line looks. */
const SECOND_LOOK_MS = 1500
/** What is handed to a candidate that hears nothing is given to the next after 2 seconds, or its TTL if that is less: look well before. */
const DEAF_LOOK_MS = 500
const DEAF_LOOK_PART = 0.25

/**
 * Waits until the lease is granted.
 *
 * @param changed - whoever learns that something concerns this candidate wakes it by this
 * @throws the signal's reason if it aborts; a grant that was under way is then given back.
 * @throws PgElectError if asking again cannot help (a bad argument, no access, no schema).
 */
export async function waitForLease(
  context: CandidacyContext,
  request: LeaseRequest,
  signal: AbortSignal,
  changed = new Wakeup(context.clock),
): Promise<Lease> {
  const { random, line, logger, clock } = context
  const { name, holder, timing } = request
  const nowMs = () => clock.now().monotonicMs
  let lookAtMs = 0
  const stands = (candidacy: Candidacy) => {
    if (candidacy.rank === 0 && mustAsk(candidacy, request)) changed.wake()
    if (!isInLine) return
    const nextAtMs = nowMs() + nextAttemptInMs(candidacy, holder, timing, random)
    // Where nobody holds it, never put off: at each refresh, that would be for good.
    lookAtMs = candidacy.holder === null ? Math.min(lookAtMs, nextAtMs) : nextAtMs
    changed.cut()
  }
  const standing = line.expect({ name, holder, timing, wake: changed.wake, stands })
  let isAsked = false
  let isInLine = false
  let unsettledTimes = 0
  try {
    for (;;) {
      signal.throwIfAborted()
      let delayMs: number
      try {
        // Its place stands: looking is enough, and writes nothing.
        isAsked = true
        const { backend } = line
        const outcome: Lease | Candidacy = await (isInLine
          ? look(context, request)
          : requestLease(context, request, context.line))
        if (outcome instanceof Lease) {
          isAsked = false
          return await unlessAborted(outcome, signal)
        }
        isInLine = outcome.rank !== null
        unsettledTimes = isUnsettled(outcome) && !isInLine ? unsettledTimes + 1 : 0
        delayMs = nextAttemptInMs(outcome, holder, timing, random, unsettledTimes)
        logger.debug(
          { lease: name, holder: outcome.holder, rank: outcome.rank, delayMs },
          'waiting for a lease',
        )
        if (outcome.rank !== null) standing.keep()
        // Asked to be told in a session that is not the one any more.
        if (line.backend !== backend) line.moved()
      } catch (error) {
        if (!isTransient(error)) throw error
        isInLine = false
        delayMs = jittered(timing.retryIntervalMs, random, 0.5)
        logger.info({ lease: name, error: describeError(error) }, 'could not ask for a lease, trying again')
      }
      const isDeaf = standing.isKept && !line.isHeard
      const deafMs = Math.min(DEAF_LOOK_MS, timing.ttlMs * DEAF_LOOK_PART)
      lookAtMs = nowMs() + (isDeaf ? Math.min(delayMs, deafMs) : delayMs)
      let isWoken: boolean
      do isWoken = await changed.wait(lookAtMs - nowMs(), signal)
      while (!isWoken && !signal.aborted && nowMs() < lookAtMs)
    }
  } catch (error) {
    // Its place, or what it was handed meanwhile, need not keep the others out.
    if (isAsked && (signal.aborted || standing.isKept)) leave(context, request)
    throw error
  } finally {
    standing.end()
  }
}

/** Looks how a candidate stands that has a place in line, and asks only if it has to. */
async function look(context: CandidacyContext, request: LeaseRequest): Promise<Lease | Candidacy> {
  const outcome = await lookForLease(context, request)
  return outcome instanceof Lease || !mustAsk(outcome, request)
    ? outcome
    : requestLease(context, request, context.line)
}

/** Whether a candidate that stands in line has to ask, because nobody will hand it the lease. */
function mustAsk({ holder, rank }: Candidacy, request: LeaseRequest): boolean {
  if (holder === request.holder || holder === null || rank === null) return true
  // Somebody holds a share, but there may be room beside it that came free without a word, as by an expiry.
  return rank === 0 && request.share !== undefined
}

/** Whoever stops waiting need not wait for this; if it does not come through, the place ends by itself. */
function leave(context: CandidacyContext, request: LeaseRequest): void {
  const leaving = leaveQueue(context.executor, request, { timeoutMs: request.timing.queryTimeoutMs })
  keepOpen(context, leaving).catch(() => undefined)
}

async function unlessAborted(lease: Lease, signal: AbortSignal): Promise<Lease> {
  if (signal.aborted) {
    await lease.release()
    throw signal.reason
  }
  return lease
}

/** Whether the answer says nothing about a holder: it is changing hands, or in use. */
function isUnsettled({ holder, expiresInMs }: Candidacy): boolean {
  return holder === null && expiresInMs === null
}

/**
 * How long a refused candidate waits before it looks again, unless it is woken.
 *
 * @param unsettledTimes - how often in a row it was refused without a place and without a word of a holder; 0: it has a place
 */
export function nextAttemptInMs(
  answer: Candidacy,
  self: string,
  timing: Timing,
  random: Random,
  unsettledTimes = 0,
): number {
  const rank = answer.rank ?? 0
  // After a fail-over it counts as held, by somebody who may not be known.
  const isInGrace = answer.holder === null && answer.expiresInMs !== null
  if (!isInGrace && (answer.holder === null || answer.holder === self)) {
    const soonMs =
      unsettledTimes > 0 ? UNSETTLED_FIRST_RETRY_MS * 2 ** (unsettledTimes - 1) : UNSETTLED_RETRY_MS
    const unsettledMs = Math.min(soonMs, UNSETTLED_RETRY_MS, timing.retryIntervalMs) + rank * RANK_DELAY_MS
    return jittered(unsettledMs, random, 0.5)
  }
  // It does not expire. A look now and then makes up for a notification that the server left out.
  if (answer.expiresInMs === null) return jittered(timing.ttlMs, random)
  const expiredMs = answer.expiresInMs + EXPIRY_GRACE_MS + rank * RANK_DELAY_MS
  // Nobody tells the second when the first was handed the lease. If that is dead, it has to see so before the accept time is over.
  return rank === 1 ? Math.min(expiredMs, jittered(SECOND_LOOK_MS, random)) : expiredMs
}
