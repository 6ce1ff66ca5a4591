/**
 * Contenders for one name, each of which takes it, holds it for one turn of the event loop, gives it back and wants it again. What is
 * counted are hand-offs: changes of holder.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Contender } from '../contenders/contender.ts'
import { closeAll } from './elect.ts'
import type { Figures, Runner } from './scenario.ts'
import { toldFairness, toldMost, toldQuantile } from './told.ts'

/** In the first round, which is not counted, it is held so long: two that hold it at once would not go unseen. */
const FIRST_HOLD_MS = 2

export const CONTEST_FIGURE = 'hand-offs/s'
/** What is told of a contest beside its rate: from the call of release to the moment at which the next one knows. */
export const CONTEST_TOLD = [
  toldQuantile('p50 ms', 'latency ms', 0.5),
  toldQuantile('p99 ms', 'latency ms', 0.99),
  toldFairness('Jain', 'grants'),
  // Counted on from round to round, since the first has no figures of its own.
  toldMost('overlaps'),
]

export async function openContest(
  count: number,
  open: (index: number) => Promise<Contender>,
  name: string,
): Promise<Runner> {
  const contenders = await Promise.all(Array.from({ length: count }, (_, index) => open(index)))
  let overlaps = 0
  let isFirst = true
  return {
    async round(forMs): Promise<Figures> {
      const contest = new Contest(contenders, name, forMs, isFirst ? FIRST_HOLD_MS : 0)
      isFirst = false
      const figures = await contest.run()
      overlaps += contest.overlaps
      return { ...figures, overlaps }
    },
    close: () => closeAll(contenders),
  }
}

class Contest {
  /** How often somebody got it while another held it. */
  overlaps = 0
  readonly #contenders: readonly Contender[]
  readonly #name: string
  readonly #forMs: number
  readonly #holdMs: number
  readonly #grants: number[]
  readonly #latenciesMs: number[] = []
  readonly #fresh: Set<number>
  readonly #begunMs = performance.now()
  /** From when on it counts: once each has had its first turn, and so all wait but one. */
  #startMs = Number.NaN
  #inside = 0
  #last = -1
  #handOffs = 0
  #releasedMs = Number.NaN

  constructor(contenders: readonly Contender[], name: string, forMs: number, holdMs: number) {
    this.#contenders = contenders
    this.#name = name
    this.#forMs = forMs
    this.#holdMs = holdMs
    this.#grants = contenders.map(() => 0)
    this.#fresh = new Set(contenders.keys())
  }

  async run(): Promise<Figures> {
    await Promise.all(this.#contenders.map((contender, index) => this.#contend(contender, index)))
    return {
      'hand-offs/s': (this.#handOffs / this.#forMs) * 1000,
      'latency ms': this.#latenciesMs,
      grants: this.#grants,
    }
  }

  get #isOver(): boolean {
    return performance.now() >= this.#startMs + this.#forMs
  }

  async #contend(contender: Contender, index: number): Promise<void> {
    // Who waits at the end gets it once more, so that nothing is left of the round.
    while (!this.#isOver) {
      const release = await contender.acquire(this.#name)
      this.#enter(index)
      await (this.#holdMs > 0 ? sleep(this.#holdMs) : nextTurn())
      this.#inside -= 1
      this.#releasedMs = performance.now()
      await release()
    }
  }

  #enter(index: number): void {
    const nowMs = performance.now()
    this.#inside += 1
    if (this.#inside > 1) this.overlaps += 1
    if (this.#startMs <= nowMs && !this.#isOver) {
      this.#grants[index] = (this.#grants[index] ?? 0) + 1
      // Whoever comes back to it before the others has handed nothing off.
      if (this.#last !== index) {
        this.#handOffs += 1
        this.#latenciesMs.push(nowMs - this.#releasedMs)
      }
    }
    this.#last = index
    this.#fresh.delete(index)
    // Where it is not fair, one may be left out for long: that is not waited for.
    const isSettled = this.#fresh.size === 0 || nowMs - this.#begunMs > this.#forMs
    if (Number.isNaN(this.#startMs) && isSettled) this.#startMs = nowMs
  }
}
