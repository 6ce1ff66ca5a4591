import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Contender } from '../../../bench/contenders/contender.ts'
import { CONTEST_TOLD, openContest } from '../../../bench/harness/contest.ts'
import type { Figures, Told } from '../../../bench/harness/scenario.ts'

const close = async () => undefined

/** A lock whose waiters are served in order, after a turn, as by a server. */
class Queue {
  #isHeld = false
  readonly #waiting: (() => void)[] = []

  readonly contender: Contender = {
    acquire: async () => {
      if (this.#isHeld) await new Promise<void>((resolve) => this.#waiting.push(resolve))
      this.#isHeld = true
      return async () => {
        await nextTurn()
        this.#isHeld = false
        this.#waiting.shift()?.()
      }
    },
    close,
  }

  get waiting(): number {
    return this.#waiting.length
  }
}

async function run(count: number, open: (index: number) => Contender, rounds = 2): Promise<Figures[]> {
  const runner = await openContest(count, async (index) => open(index), 'name')
  const figures: Figures[] = []
  for (let round = 0; round < rounds; round++) figures.push(await runner.round(50))
  await runner.close()
  return figures
}

function told(figure: string, rounds: readonly Figures[]): number {
  return (CONTEST_TOLD.find((one) => one.figure === figure) as Told).over(rounds)
}

describe('a contest', () => {
  it('counts the hand-offs of a fair lock, each with its latency, and finds nothing wrong', async () => {
    const queue = new Queue()
    const rounds = await run(3, () => queue.contender)
    const [, last = {}] = rounds
    const grants = last.grants as number[]
    expect(grants).toHaveLength(3)
    expect(last['latency ms']).toHaveLength(grants.reduce((a, b) => a + b, 0))
    expect(last['hand-offs/s']).toBeGreaterThan(0)
    expect(told('overlaps', rounds)).toBe(0)
    expect(Math.max(...grants) - Math.min(...grants)).toBeLessThanOrEqual(1)
  })

  it('leaves nobody waiting at the end of a round', async () => {
    const queue = new Queue()
    await run(4, () => queue.contender, 1)
    expect(queue.waiting).toBe(0)
  })

  it('sees those who hold it at once, also where only the round that is not counted shows them', async () => {
    const nobodyWaits: Contender = { acquire: async () => nextTurn, close }
    const [, ...counted] = await run(2, () => nobodyWaits)
    expect(told('overlaps', counted)).toBeGreaterThan(0)

    let calls = 0
    const queue = new Queue()
    const onceBroken: Contender = {
      acquire: async () => (++calls <= 2 ? nextTurn : queue.contender.acquire('name')),
      close,
    }
    const [, ...after] = await run(2, () => onceBroken)
    expect(told('overlaps', after)).toBe(1)
  })

  it('does not call it a hand-off when it comes back to the same one', async () => {
    const [figures = {}] = await run(1, () => new Queue().contender, 1)
    expect(figures['hand-offs/s']).toBe(0)
    expect((figures.grants as number[])[0]).toBeGreaterThan(0)
  })

  it('tells who is left out', async () => {
    // Each of them alone has a lock of its own, but one comes to it only once in a while.
    const slow = new Queue()
    const rounds = await run(2, (index) =>
      index === 0
        ? new Queue().contender
        : {
            async acquire(name) {
              await new Promise((resolve) => setTimeout(resolve, 10))
              return slow.contender.acquire(name)
            },
            close,
          },
    )
    expect(told('Jain', rounds)).toBeLessThan(0.9)
  })
})
