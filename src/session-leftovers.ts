/**
 * Leases that a session may keep though nobody here holds them any more: they would never expire, as the session goes on. So they are
 * given back; or, where work that would not stop may still be running, made leases of their own, which expire by themselves.
 */
import type { Clock } from './clock.ts'
import { type HeldLease, releaseLeasesIn, renewLeasesIn, TOGETHER_MAX } from './kept-session-queries.ts'
import type { Executor } from './queries.ts'

interface Leftover extends HeldLease {
  /** Its work may still be running: nobody else may have it before it has expired. */
  readonly isInUse: boolean
  /** From when on to see to it, by the monotonic clock: whoever gives it back is given the time to. */
  readonly readyAtMs: number
}

export class Leftovers {
  readonly #executor: Executor
  readonly #clock: Clock
  readonly #all = new Map<string, Leftover>()

  constructor(executor: Executor, clock: Clock) {
    this.#executor = executor
    this.#clock = clock
  }

  get size(): number {
    return this.#all.size
  }

  /** Whether work may still be running under one of them. */
  get areInUse(): boolean {
    return [...this.#all.values()].some(({ isInUse }) => isInUse)
  }

  add({ name, token }: HeldLease, { isInUse, withinMs }: { isInUse: boolean; withinMs: number }): void {
    const readyAtMs = this.#clock.now().monotonicMs + withinMs
    this.#all.set(keyOf({ name, token }), { name, token, isInUse, readyAtMs })
  }

  /** The database has said that it is not held any more, or it is held here again. @returns whether it was one of them. */
  settled(lease: HeldLease): boolean {
    return this.#all.size > 0 && this.#all.delete(keyOf(lease))
  }

  /** The session that kept them is renewed no more: they expire with it. */
  clear(): void {
    this.#all.clear()
  }

  /**
   * Sees to those whose time has come. What the database does not say yes or no to stays for the next time.
   *
   * @throws as the executor does.
   */
  async see(session: string, timeoutMs: number): Promise<void> {
    const nowMs = this.#clock.now().monotonicMs
    const ready = [...this.#all.values()].filter(({ readyAtMs }) => readyAtMs <= nowMs)
    for (const isInUse of [true, false]) {
      const some = ready.filter((leftover) => leftover.isInUse === isInUse)
      for (let from = 0; from < some.length; from += TOGETHER_MAX) {
        const together = some.slice(from, from + TOGETHER_MAX)
        const answers = isInUse
          ? (await renewLeasesIn(this.#executor, null, together, { timeoutMs })).map(({ granted }) => granted)
          : await releaseLeasesIn(this.#executor, session, together, { timeoutMs })
        for (const [place, leftover] of together.entries()) {
          if (answers[place] !== null) this.settled(leftover)
        }
      }
    }
  }
}

function keyOf({ name, token }: HeldLease): string {
  return `${token} ${name}`
}
