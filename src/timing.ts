import { InvalidArgumentError } from './errors.ts'

/** Shortest and longest TTL that the database accepts. */
export const TTL_MS_MIN = 100
export const TTL_MS_MAX = 24 * 60 * 60 * 1000
export const TTL_MS_DEFAULT = 15_000

/** The durations by which a lease is kept. All are derived from the TTL unless given. */
export interface TimingOptions {
  /**
   * Time to live of a lease, in milliseconds: how long a holder that crashed is waited for.
   * From 100 to 86,400,000. Default 15,000. Shorter: quicker takeover, less patience with a slow server.
   */
  ttlMs?: number
  /** Time from one renewal to the next. Default a third of the TTL: two beats may fail before the lease is lost. */
  renewIntervalMs?: number
  /**
   * How much earlier than one TTL after sending a request its holder stops trusting it: covers the difference in rate between two
   * clocks and the time from a check to the act that follows. Default a tenth of the TTL, at most 1,000.
   */
  safetyMarginMs?: number
  /** Time from a failed attempt to the next one. Default a thirtieth of the TTL, from 20 to 1,000. */
  retryIntervalMs?: number
  /**
   * How long a request to the database may stay unanswered before its connection is given up.
   * Default a third of what is left after the first beat and the margin, so that two more attempts fit before the deadline.
   */
  queryTimeoutMs?: number
}

/** {@link TimingOptions} with nothing left open. */
export type Timing = Readonly<Required<TimingOptions>>

/**
 * Completes the durations and checks how they relate.
 *
 * @throws InvalidArgumentError naming the option, what was expected and what came.
 */
export function resolveTiming(options: TimingOptions): Timing {
  const ttlMs = options.ttlMs ?? TTL_MS_DEFAULT
  requireDuration('ttlMs', ttlMs, TTL_MS_MIN, TTL_MS_MAX)
  const renewIntervalMs = options.renewIntervalMs ?? ttlMs / 3
  requireDuration('renewIntervalMs', renewIntervalMs, 1, ttlMs, 'ttlMs')
  const safetyMarginMs = options.safetyMarginMs ?? Math.min(1000, ttlMs / 10)
  requireDuration('safetyMarginMs', safetyMarginMs, 0, ttlMs, 'ttlMs')

  const trustMs = ttlMs - safetyMarginMs
  if (renewIntervalMs >= trustMs) {
    throw new InvalidArgumentError(
      `Invalid renewIntervalMs: expected less than ttlMs − safetyMarginMs (${trustMs}), so that a renewal comes before the deadline, got ${renewIntervalMs}`,
    )
  }
  const spareMs = trustMs - renewIntervalMs
  const retryIntervalMs = options.retryIntervalMs ?? Math.min(1000, Math.max(20, ttlMs / 30), spareMs)
  requireDuration('retryIntervalMs', retryIntervalMs, 1, spareMs, 'ttlMs − safetyMarginMs − renewIntervalMs')
  const queryTimeoutMs = options.queryTimeoutMs ?? Math.max(1, Math.floor(spareMs / 3))
  requireDuration('queryTimeoutMs', queryTimeoutMs, 1, spareMs, 'ttlMs − safetyMarginMs − renewIntervalMs')
  return { ttlMs, renewIntervalMs, safetyMarginMs, retryIntervalMs, queryTimeoutMs }
}

/** @throws InvalidArgumentError unless the value is a finite number within the bounds. */
export function requireDuration(
  name: string,
  value: unknown,
  min: number,
  max: number,
  maxName?: string,
): void {
  if (typeof value === 'number' && value >= min && value <= max) return
  const upTo = maxName === undefined ? `${max}` : `${maxName} (${max})`
  throw new InvalidArgumentError(
    `Invalid ${name}: expected milliseconds from ${min} to ${upTo}, got ${typeof value === 'number' ? value : typeof value}`,
  )
}
