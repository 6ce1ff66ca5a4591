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

/** Where a machine shows its three clocks, each in milliseconds. */
export interface ClockSources {
  readonly monotonicMs: () => number
  readonly uptimeMs: () => number
  readonly wallMs: () => number
}

/** Reading the uptime takes a hundred times as long as the others: on Linux it is read from a file. */
const UPTIME_AGE_MS_MAX = 1

/**
 * Tells the time by these clocks. The uptime is read anew when it is older than a millisecond by the monotonic clock, or when the wall clock
 * says that the monotonic one has stood still: so a suspend is seen at once, or, if the wall clock was set back in it, a millisecond later.
 */
export function clockOf({ monotonicMs, uptimeMs, wallMs }: ClockSources): Pick<Clock, 'now'> {
  let last: Instant | undefined
  return {
    now() {
      const monotonic = monotonicMs()
      const wall = wallMs()
      if (last !== undefined) {
        const passedMs = monotonic - last.monotonicMs
        const isFresh = passedMs <= UPTIME_AGE_MS_MAX && wall - last.wallMs <= passedMs + UPTIME_AGE_MS_MAX
        if (isFresh) return { monotonicMs: monotonic, uptimeMs: last.uptimeMs, wallMs: wall }
      }
      last = { monotonicMs: monotonic, uptimeMs: uptimeMs(), wallMs: wall }
      return last
    },
  }
}

/** The clocks of this machine. */
export const systemClock: Clock = {
  ...clockOf({
    // Not performance.now(): it begins anew in each thread.
    monotonicMs() {
      const [seconds, nanoseconds] = process.hrtime()
      return seconds * 1000 + nanoseconds / 1e6
    },
    uptimeMs: () => uptime() * 1000,
    wallMs: () => Date.now(),
  }),
  setTimer(callback, delayMs) {
    const timeout = setTimeout(callback, Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(delayMs))))
    return { cancel: () => clearTimeout(timeout) }
  },
}
