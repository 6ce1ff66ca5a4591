import { uptime } from 'node:os'

/** One moment, as three clocks show it. Only differences between two instants of one process, in whichever thread, mean anything. */
export interface Instant {
  /** CLOCK_MONOTONIC: exact, and one for all threads, but it stands still while the machine is suspended. */
  readonly monotonicMs: number
  /** Time since boot: goes on during suspend, in coarse steps. */
  readonly uptimeMs: number
  /** Wall clock: goes on during suspend, but can be set. */
  readonly wallMs: number
}

/** A timer that can be called off. */
export interface Timer {
  cancel(): void
}

/** Time as the package sees it. Passed in, so that tests run the same code on a clock of their own. */
export interface Clock {
  now(): Instant
  /** Calls back once, after `delayMs` of the monotonic clock. */
  setTimer(callback: () => void, delayMs: number): Timer
}

/** Uptime is told in steps of 10 ms on Linux, of a second elsewhere: that much of a difference proves nothing. */
const UPTIME_STEP_MS = process.platform === 'linux' ? 10 : 1000

/** `setTimeout` fires at once for longer delays than this. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * How much time has passed between two instants, in milliseconds: the largest that any clock shows.
 *
 * Any single clock can miss time (suspend, a wall clock that is set back). Overestimating only ends trust sooner, which is safe;
 * underestimating would extend it.
 */
export function elapsedMs(from: Instant, to: Instant): number {
  return Math.max(
    0,
    to.monotonicMs - from.monotonicMs,
    to.uptimeMs - from.uptimeMs - UPTIME_STEP_MS,
    to.wallMs - from.wallMs,
  )
}

/** The clocks of this machine. */
export const systemClock: Clock = {
  now() {
    // Not performance.now(): it begins anew in each thread.
    const [seconds, nanoseconds] = process.hrtime()
    return {
      monotonicMs: seconds * 1000 + nanoseconds / 1e6,
      uptimeMs: uptime() * 1000,
      wallMs: Date.now(),
    }
  },
  setTimer(callback, delayMs) {
    const timeout = setTimeout(callback, Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(delayMs))))
    return { cancel: () => clearTimeout(timeout) }
  },
}
