import { uptime } from 'node:os'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clockOf, elapsedMs, type Instant, systemClock } from '../../src/clock.ts'
import { StubClock } from './support/stub-clock.ts'

/** How coarse the uptime is told on this platform. */
const UPTIME_STEP_MS = process.platform === 'linux' ? 10 : 1000

const start: Instant = { monotonicMs: 1000, uptimeMs: 50_000, wallMs: 1_900_000_000_000 }

function later(monotonicMs: number, uptimeMs: number, wallMs: number): Instant {
  return {
    monotonicMs: start.monotonicMs + monotonicMs,
    uptimeMs: start.uptimeMs + uptimeMs,
    wallMs: start.wallMs + wallMs,
  }
}

describe('elapsed time', () => {
  test.each([
    ['the monotonic clock', later(3000, 0, 0), 3000],
    ['the uptime, less its step', later(0, 3000 + UPTIME_STEP_MS, 0), 3000],
    ['the wall clock', later(0, 0, 3000), 3000],
    ['nothing', later(0, 0, 0), 0],
  ])('is what %s shows if that is the most', (_clock, now, expected) => {
    expect(elapsedMs(start, now)).toBe(expected)
  })

  test('is the largest of the three', () => {
    const span = fc.integer({ min: -1e9, max: 1e9 })
    fc.assert(
      fc.property(span, span, span, (monotonic, uptime, wall) => {
        const elapsed = elapsedMs(start, later(monotonic, uptime, wall))
        expect(elapsed).toBe(Math.max(0, monotonic, uptime - UPTIME_STEP_MS, wall))
      }),
    )
  })

  test('a wall clock set back takes no time away', () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.nat(1e9), (passed, setBack) => {
        const clock = new StubClock()
        const from = clock.now()
        clock.pass(passed)
        clock.stepWall(-setBack)
        expect(elapsedMs(from, clock.now())).toBe(passed)
      }),
    )
  })

  test('a suspend counts, though the monotonic clock stands still', () => {
    const clock = new StubClock()
    const from = clock.now()
    clock.pass(1000)
    clock.suspend(60_000)
    expect(clock.now().monotonicMs - from.monotonicMs).toBe(1000)
    expect(elapsedMs(from, clock.now())).toBe(61_000)
  })

  test('a suspend counts also where the wall clock was set back meanwhile', () => {
    const clock = new StubClock()
    const from = clock.now()
    clock.suspend(60_000)
    clock.stepWall(-3_600_000)
    expect(elapsedMs(from, clock.now())).toBe(60_000 - UPTIME_STEP_MS)
  })

  test('the steps of a coarse uptime do not make it longer than it was', () => {
    const coarse = (atMs: number): Instant => ({
      monotonicMs: atMs,
      uptimeMs: Math.floor(atMs / UPTIME_STEP_MS) * UPTIME_STEP_MS,
      wallMs: atMs,
    })
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), (fromMs, passedMs) => {
        expect(elapsedMs(coarse(fromMs), coarse(fromMs + passedMs))).toBe(passedMs)
      }),
    )
  })
})

describe('the clock of this machine', () => {
  test('does not go back, and shows three clocks in milliseconds', () => {
    const first = systemClock.now()
    const second = systemClock.now()
    expect(second.monotonicMs).toBeGreaterThanOrEqual(first.monotonicMs)
    expect(elapsedMs(first, second)).toBeLessThan(1000)
    expect(first.wallMs).toBeGreaterThan(Date.UTC(2020, 0, 1))
    // In milliseconds, as the other two.
    expect(Math.abs(first.uptimeMs - uptime() * 1000)).toBeLessThan(2000)
  })

  test('shows the monotonic clock of the machine, which is one for all threads', () => {
    const [seconds, nanoseconds] = process.hrtime()
    const { monotonicMs } = systemClock.now()
    expect(monotonicMs - (seconds * 1000 + nanoseconds / 1e6)).toBeGreaterThanOrEqual(0)
    expect(monotonicMs - (seconds * 1000 + nanoseconds / 1e6)).toBeLessThan(1000)
  })

  test('a timer that is called off does not fire, also one for longer than the platform can wait', () => {
    const active = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    const before = active()
    const timers = [1000, 2 ** 40, -5].map((delayMs) =>
      systemClock.setTimer(() => expect.unreachable(), delayMs),
    )
    expect(active()).toBe(before + timers.length)
    for (const timer of timers) timer.cancel()
    expect(active()).toBe(before)
  })
})

describe('the stubbed clock', () => {
  test('fires timers in the order of their times, each after what the earlier ones set off', async () => {
    const clock = new StubClock()
    const fired: string[] = []
    clock.setTimer(() => fired.push('second'), 20)
    clock.setTimer(() => {
      fired.push('first')
      void Promise.resolve()
        .then(() => fired.push('of the first'))
        .then(() => clock.setTimer(() => fired.push('between'), 5))
    }, 10)
    clock.setTimer(() => fired.push('never'), 15).cancel()
    clock.setTimer(() => fired.push('too late'), 21)
    await clock.advance(20)
    expect(fired).toEqual(['first', 'of the first', 'between', 'second'])
    expect(clock.pendingDelaysMs).toEqual([1])
  })

  test('passing and suspending fire nothing until time is looked at again', async () => {
    const clock = new StubClock()
    let firedAtMs = Number.NaN
    clock.setTimer(() => {
      firedAtMs = clock.trueMs
    }, 100)
    clock.suspend(1000)
    await clock.advance(50)
    expect(firedAtMs).toBeNaN()
    clock.pass(500)
    expect(clock.pendingTimers).toBe(1)
    await clock.advance(0)
    expect(firedAtMs).toBe(1550)
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('the uptime', () => {
  /** Clocks that are set by hand, and how often the uptime was read. */
  function setUp() {
    const shown = { monotonicMs: 1000, uptimeMs: 5000, wallMs: 9000 }
    let reads = 0
    const clock = clockOf({
      monotonicMs: () => shown.monotonicMs,
      uptimeMs() {
        reads += 1
        return shown.uptimeMs
      },
      wallMs: () => shown.wallMs,
    })
    clock.now()
    const pass = (monotonicMs: number, uptimeMs: number, wallMs: number) => {
      shown.monotonicMs += monotonicMs
      shown.uptimeMs += uptimeMs
      shown.wallMs += wallMs
      return clock.now()
    }
    return { pass, reads: () => reads }
  }

  test('is not read again within a millisecond, and then the others are', () => {
    const { pass, reads } = setUp()
    expect(pass(0.5, 0.5, 1)).toEqual({ monotonicMs: 1000.5, uptimeMs: 5000, wallMs: 9001 })
    expect(reads()).toBe(1)
    expect(pass(0.6, 0.6, 0)).toEqual({ monotonicMs: 1001.1, uptimeMs: 5001.1, wallMs: 9001 })
    expect(reads()).toBe(2)
  })

  test('is read at once where the monotonic clock has stood still by the wall clock', () => {
    const { pass, reads } = setUp()
    expect(pass(0.1, 60_000, 60_000).uptimeMs).toBe(65_000)
    expect(reads()).toBe(2)
  })

  test('shows a suspend in which the wall clock was set back a millisecond later', () => {
    const { pass } = setUp()
    expect(pass(0.1, 60_000, -5000).uptimeMs).toBe(5000)
    expect(pass(1, 1, 1).uptimeMs).toBe(65_001)
  })
})
