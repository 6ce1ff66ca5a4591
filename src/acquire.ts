import { requireSignal } from './arguments.ts'
import { type CandidacyContext, waitForLease } from './candidacy.ts'
import { AcquireTimeoutError } from './errors.ts'
import type { LeaseRequest } from './holding.ts'
import type { Lease } from './lease.ts'
import { requireDuration } from './timing.ts'

/** How long to wait. */
export interface WaitOptions {
  /** Stops waiting. What was granted meanwhile is given back. */
  signal?: AbortSignal
  /** How long to wait, from 0 to 2,147,483,647 ms. Default: for ever. */
  timeoutMs?: number
}

/** What whoever waits needs of its client. */
export interface WaitContext extends CandidacyContext {
  /** Aborts when the client closes. */
  readonly closing: AbortSignal
}

const WAIT_MS_MAX = 2 ** 31 - 1

/** The keys of {@link WaitOptions}. */
export const WAIT_KEYS = ['signal', 'timeoutMs'] as const

/** @throws InvalidArgumentError unless the options say how long to wait. */
export function requireWait({ signal, timeoutMs }: WaitOptions): void {
  requireSignal(signal)
  if (timeoutMs !== undefined) requireDuration('timeoutMs', timeoutMs, 0, WAIT_MS_MAX)
}

/**
 * Does something that takes a signal, until it is done, the caller's signal aborts, its time is over, or the client closes.
 *
 * @param name - what is waited for, for the error
 * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; ClosedError if the client closes.
 */
export async function withinTime<T>(
  { clock, closing }: Pick<WaitContext, 'clock' | 'closing'>,
  name: string,
  { signal, timeoutMs }: WaitOptions,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stops = signal === undefined ? [closing] : [closing, signal]
  if (timeoutMs === undefined) return wait(AbortSignal.any(stops))
  const timeout = new AbortController()
  const timer = clock.setTimer(() => timeout.abort(new AcquireTimeoutError(name, timeoutMs)), timeoutMs)
  try {
    return await wait(AbortSignal.any([...stops, timeout.signal]))
  } finally {
    timer.cancel()
  }
}

/** Waits in line for a lease or a share. @throws as {@link withinTime}. */
export function acquireWithin(
  context: WaitContext,
  request: LeaseRequest,
  options: WaitOptions,
): Promise<Lease> {
  return withinTime(context, request.name, options, (signal) => waitForLease(context, request, signal))
}
