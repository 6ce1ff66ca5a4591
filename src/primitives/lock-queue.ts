/** Waiting in the server's own lock queue, and holding the lease on the same connection (`elect.acquire_queued`). */
import { isTransient } from '../errors.ts'
import { keepOpen, type LeaseRequest } from '../holding.ts'
import { jittered } from '../jitter.ts'
import { Lease } from '../lease.ts'
import { acquireQueued, releaseQueued } from '../line-queries.ts'
import type { Candidacy } from '../queries.ts'
import { received } from '../request.ts'
import type { SpareSession } from '../spare-sessions.ts'
import type { BindingContext } from '../takeover.ts'
import { giveBackLater, mayBeGranted } from '../try-lease.ts'
import { Wakeup } from '../wakeup.ts'
import { unlessStopped } from './stopped.ts'

/** One wait in the server holds a snapshot, which holds up vacuum: none is longer than a second. */
const WAIT_MS_MAX = 900
/** Trust counts from the sending, before the wait: so it may not take more than a part of the TTL. */
const WAIT_PART_OF_TTL = 0.25
const WHAT = 'A mutex that waits in the queue of the server'

/** @throws the signal's reason if it aborts; PgElectError if asking again cannot help. */
export async function lockInQueue(
  context: BindingContext,
  request: LeaseRequest,
  signal: AbortSignal,
): Promise<Lease> {
  signal.throwIfAborted()
  return unlessStopped(keepOpen(context, waitInQueue(context, request, signal)), signal)
}

/** Takes the lease if nobody has it or waits for it in the queue. */
export function tryInQueue(context: BindingContext, request: LeaseRequest): Promise<Lease | null> {
  return keepOpen(context, tryOnce(context, request))
}

async function tryOnce(context: BindingContext, request: LeaseRequest): Promise<Lease | null> {
  const session = await context.sessions.borrow(WHAT)
  try {
    const outcome = await ask(context, request, session, 1)
    if (outcome instanceof Lease) return outcome
  } catch (error) {
    context.sessions.discard(session)
    if (mayBeGranted(error)) giveBackLater(context, request)
    throw error
  }
  context.sessions.giveBack(session)
  return null
}

/** Undefined if the signal aborted: what was granted meanwhile has then been given back. */
async function waitInQueue(
  context: BindingContext,
  request: LeaseRequest,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  const { clock, random, sessions } = context
  const { timing } = request
  const longestMs = Math.min(WAIT_MS_MAX, Math.ceil(timing.ttlMs * WAIT_PART_OF_TTL))
  const pause = new Wakeup(clock)
  let session: SpareSession | undefined
  let isUnknown = false
  while (!signal.aborted) {
    const askedMs = clock.now().monotonicMs
    let delayMs = 0
    try {
      session ??= await sessions.borrow(WHAT)
      const outcome = await ask(context, request, session, longestMs)
      isUnknown = false
      if (outcome instanceof Lease && !signal.aborted) return outcome
      if (outcome instanceof Lease) {
        await outcome.release()
        return undefined
      }
      // A refusal before the time was over: it is held by one that does not hold the lock, such as one that has crashed.
      if (clock.now().monotonicMs - askedMs < longestMs / 2) {
        delayMs = jittered(Math.min(outcome.expiresInMs ?? longestMs, longestMs), random)
      }
    } catch (error) {
      // Nobody knows what it holds in the server.
      if (session !== undefined) sessions.discard(session)
      session = undefined
      isUnknown ||= mayBeGranted(error)
      if (!isTransient(error)) {
        if (isUnknown) giveBackLater(context, request)
        throw error
      }
      delayMs = jittered(timing.retryIntervalMs, random, 0.5)
    }
    if (delayMs > 0) await pause.wait(delayMs, signal)
  }
  if (isUnknown) giveBackLater(context, request)
  if (session !== undefined) sessions.giveBack(session)
  return undefined
}

async function ask(
  context: BindingContext,
  request: LeaseRequest,
  session: SpareSession,
  longestMs: number,
): Promise<Lease | Candidacy> {
  const { timing } = request
  const sentAt = context.clock.now()
  const options = { timeoutMs: longestMs + timing.queryTimeoutMs }
  const answer = await acquireQueued(session, { ...request, ttlMs: timing.ttlMs, longestMs }, options)
  let isGivenBack = false
  const release = async (token: number) => {
    const { queryTimeoutMs: timeoutMs } = timing
    const released = await releaseQueued(session, { name: request.name, token }, { timeoutMs })
    isGivenBack = true
    return released
  }
  const outcome = received(context, request, sentAt, answer, release)
  if (outcome instanceof Lease) {
    outcome.onEnded(() => {
      // Lost, or it could not be given back: what the connection holds in the server has to end all the same.
      if (isGivenBack) context.sessions.giveBack(session)
      else context.sessions.discard(session)
    })
  } else if (answer.granted === true && answer.token !== null) {
    await release(answer.token)
  }
  return outcome
}
