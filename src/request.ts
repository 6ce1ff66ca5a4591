/** Asking for a lease or a share: what comes of the answer. */
import type { Instant } from './clock.ts'
import { remainingMs } from './deadline.ts'
import { keepOpen, type LeaseContext, type LeaseRequest, trustIn } from './holding.ts'
import { Lease } from './lease.ts'
import { NOBODY_KNOWN } from './lease-calls.ts'
import { getCandidacy } from './line-queries.ts'
import { acquireLease, type Candidacy, releaseLease } from './queries.ts'
import { acquireShare } from './share-queries.ts'

/**
 * Asks once for a lease.
 *
 * @param standing - takes a place in line if it is refused; `backend`: the session that is to be told of a hand-off, if not the one that asks
 * @returns the lease, or the answer that refused it. A grant that came after its own deadline is a refusal with the contender's own
 * name as the holder: asking again settles it, under the same token.
 */
export function requestLease(
  context: LeaseContext,
  request: LeaseRequest,
  standing?: { backend: number | undefined },
): Promise<Lease | Candidacy> {
  return keepOpen(context, ask(context, request, standing))
}

// Most requests are answered by the first statement: as few promises on that way as can be.
function ask(
  context: LeaseContext,
  request: LeaseRequest,
  standing?: { backend: number | undefined },
): Promise<Lease | Candidacy> {
  const { name, holder, metadata, timing, share } = request
  if (context.isLockedHere(name)) return Promise.resolve(NOBODY_KNOWN)
  if (standing !== undefined || share !== undefined) return askAlone(context, request, standing)
  const asked = { name, holder, metadata, ttlMs: timing.ttlMs }
  return context.calls
    .acquire(asked, timing.queryTimeoutMs)
    .then(({ answer, sentAt }) => received(context, request, sentAt, answer))
}

/** For a place in line, or a share. */
async function askAlone(
  context: LeaseContext,
  request: LeaseRequest,
  standing: { backend: number | undefined } | undefined,
): Promise<Lease | Candidacy> {
  const { executor, clock } = context
  const { timing, share } = request
  const sentAt = clock.now()
  const asked = {
    ...request,
    ttlMs: timing.ttlMs,
    priority: standing === undefined ? undefined : request.priority,
    backend: standing?.backend,
  }
  const options = { timeoutMs: timing.queryTimeoutMs }
  const answer =
    share === undefined
      ? await acquireLease(executor, asked, options)
      : await acquireShare(executor, { ...asked, ...share }, options)
  return received(context, request, sentAt, answer)
}

/**
 * Asks once for a lease. Null if it is refused.
 *
 * @throws ConnectionError if no answer comes: it may then have been granted, to a contender that has to ask again or give it back.
 */
export function askOnce(context: LeaseContext, request: LeaseRequest): Promise<Lease | null> {
  return keepOpen(context, askOpenly(context, request))
}

/** As {@link askOnce}, for whoever keeps the client open by itself. */
export function askOpenly(context: LeaseContext, request: LeaseRequest): Promise<Lease | null> {
  return ask(context, request).then((outcome) =>
    outcome instanceof Lease ? outcome : refuse(context, request, outcome),
  )
}

async function refuse(
  context: LeaseContext,
  request: LeaseRequest,
  { holder, lease: name, token }: Candidacy,
): Promise<null> {
  // Granted, but too late to be trusted.
  if (holder === request.holder && name !== null && token !== null) {
    await releaseLease(context.executor, { name, token }).catch(() => undefined)
  }
  return null
}

/** Looks whether a candidate has been handed the lease. @returns the lease, or how the candidate stands. */
export async function lookForLease(context: LeaseContext, request: LeaseRequest): Promise<Lease | Candidacy> {
  const look = async () => {
    const sentAt = context.clock.now()
    const candidacy = await getCandidacy(context.executor, request, {
      timeoutMs: request.timing.queryTimeoutMs,
    })
    // The database told for how long from its answer on, which came after the question.
    return received(context, request, sentAt, candidacy)
  }
  return keepOpen(context, look())
}

/**
 * Turns an answer into a lease, if it granted one that can still be trusted.
 *
 * @param release - how to give it back, if that is not `release_lease`
 */
export function received(
  context: LeaseContext,
  request: LeaseRequest,
  sentAt: Instant,
  answer: Candidacy,
  release?: (token: number) => Promise<boolean>,
): Lease | Candidacy {
  const { clock, logger } = context
  const { lease: name, token } = answer
  if (answer.granted !== true || name === null || token === null) return answer
  const trust = trustIn(request.timing, sentAt, answer.expiresInMs)
  if (remainingMs(trust, clock.now()) <= 0) {
    logger.info({ lease: name }, 'a grant came too late to be trusted')
    return { ...answer, granted: false }
  }
  logger.info({ lease: name, holder: request.holder, token }, 'was granted a lease')
  const granted = { name, token, release: release === undefined ? undefined : () => release(token) }
  const { keeper } = context
  const isKept = keeper !== undefined && release === undefined && keeper.keeps(request)
  return new Lease(isKept ? { ...context, heartbeat: keeper } : context, request, granted, trust)
}
