import type { Clock, Instant, Timer } from '../../../src/clock.ts'

interface PendingTimer {
  readonly dueAtMs: number
  readonly callback: () => void
}

/** More timers than this at one instant are a loop that would never let time go on. */
const FIRED_AT_ONCE_MAX = 2_000

/**
 * Time that passes only when a test says so. Its three clocks can be moved apart, as they are by a suspend or by somebody who sets
 * the wall clock. Timers run on the monotonic one, like those of Node.
 */
export class StubClock implements Clock {
  /** The time of the world, and of the database server: suspends count, wall clock steps do not. */
  trueMs = 0
  #monotonicMs = 5_000_000
  #uptimeMs = 9_000_000
  #wallMs = Date.UTC(2030, 0, 1)
  readonly #timers = new Set<PendingTimer>()
  readonly #turns: number

  /** @param turns - of the event loop that whatever is under way is given to settle; one empties the whole microtask queue */
  constructor({ turns = 1 }: { turns?: number } = {}) {
    this.#turns = turns
  }

  now(): Instant {
    return { monotonicMs: this.#monotonicMs, uptimeMs: this.#uptimeMs, wallMs: this.#wallMs }
  }

  setTimer(callback: () => void, delayMs: number): Timer {
    // Whole milliseconds, as with the real one.
    const timer = { dueAtMs: this.#monotonicMs + Math.max(0, Math.ceil(delayMs)), callback }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  get pendingTimers(): number {
    return this.#timers.size
  }

  /** Milliseconds until the next timer fires; infinite if there is none. */
  get nextDelayMs(): number {
    return (this.#nextTimer()?.dueAtMs ?? Number.POSITIVE_INFINITY) - this.#monotonicMs
  }

  /** Milliseconds until each pending timer fires, the next one first. */
  get pendingDelaysMs(): number[] {
    return [...this.#timers].map(({ dueAtMs }) => dueAtMs - this.#monotonicMs).sort((a, b) => a - b)
  }

  /** Time goes on and timers fire, each at its time and after all that the earlier ones set off has settled. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms
    await this.settle()
    let firedAtOnce = 0
    for (;;) {
      const timer = this.#nextTimer()
      if (timer === undefined || timer.dueAtMs > untilMs) break
      const waitMs = Math.max(0, timer.dueAtMs - this.#monotonicMs)
      firedAtOnce = waitMs > 0 ? 1 : firedAtOnce + 1
      if (firedAtOnce > FIRED_AT_ONCE_MAX) throw new Error('timers are set for no time, again and again')
      this.pass(waitMs)
      this.#timers.delete(timer)
      timer.callback()
      await this.settle()
    }
    this.pass(Math.max(0, untilMs - this.#monotonicMs))
  }

  /** Time goes on, but this process does not notice: no timer fires. A blocked event loop, or SIGSTOP. */
  pass(ms: number): void {
    this.#monotonicMs += ms
    this.suspend(ms)
  }

  /** The machine sleeps: the monotonic clock stands still, and its timers with it. */
  suspend(ms: number): void {
    this.#uptimeMs += ms
    this.#wallMs += ms
    this.trueMs += ms
  }

  /** Somebody sets the wall clock, forward or back. */
  stepWall(ms: number): void {
    this.#wallMs += ms
  }

  /** Lets all that needs no more time than this instant run to its end. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < this.#turns; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  #nextTimer(): PendingTimer | undefined {
    let next: PendingTimer | undefined
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueAtMs < next.dueAtMs) next = timer
    }
    return next
  }
}

/** Lets that many microtasks pass, and nothing else. */
export async function microtasks(count: number): Promise<void> {
  for (let left = count; left > 0; left--) await Promise.resolve()
}
