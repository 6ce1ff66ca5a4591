import { expect, it } from 'vitest'
import { chooseRounds, orderOf, runScenario } from '../../../bench/harness/rounds.ts'
import { type Bench, type Contestant, type Runner, Unavailable } from '../../../bench/harness/scenario.ts'

it('has usual rounds, fewer and shorter ones in a quick run', () => {
  const [usual, quick] = [chooseRounds({}, false), chooseRounds({}, true)]
  expect(quick.rounds).toBeLessThan(usual.rounds)
  expect(quick.roundMs).toBeLessThan(usual.roundMs)
})

it('has the rounds that the scenario chooses, and no more than those in a quick run', () => {
  expect(chooseRounds({ rounds: 9, roundMs: 50 }, false)).toEqual({ rounds: 9, roundMs: 50 })
  expect(chooseRounds({ rounds: 1, roundMs: 20 }, true)).toEqual({ rounds: 1, roundMs: 20 })
  expect(chooseRounds({ rounds: 3 }, true).rounds).toBe(1)
})

it('has the rounds that are asked for, whatever the scenario says', () => {
  const asked = { rounds: 7, roundMs: undefined }
  expect(chooseRounds({ rounds: 1, roundMs: 50 }, false, asked)).toEqual({ rounds: 7, roundMs: 50 })
  expect(chooseRounds({ rounds: 1, roundMs: 50 }, true, asked).rounds).toBe(7)
})

/** Writes down what is done with it. */
function logging(name: string, log: string[], further: Partial<Contestant & Runner> = {}): Contestant {
  const { prepare, isIdle = false, open } = further
  const runner: Runner = {
    ...(prepare === undefined ? {} : { prepare }),
    async round(forMs) {
      log.push(`${name} ${forMs}`)
      return { n: 1 }
    },
    async close() {
      log.push(`${name} closed`)
    },
  }
  return { name, how: '', isIdle, open: open ?? (async () => runner) }
}

const run = (contestants: Contestant[], rounds: number) =>
  runScenario(
    {} as Bench,
    { name: 's', title: 'S', figure: 'n', better: 'more', goals: [], contestants },
    { rounds, roundMs: 10 },
  )

it('runs the contestants in turns, each as often as the first, after a round that is not counted', async () => {
  const log: string[] = []
  const { outcomes } = await run([logging('a', log), logging('b', log)], 2)
  expect(log).toEqual(['a 5', 'b 5', 'a 10', 'b 10', 'b 10', 'a 10', 'a closed', 'b closed'])
  expect(outcomes.map(({ rounds }) => rounds.length)).toEqual([2, 2])
})

it('has each one begin in turn, forwards and backwards', () => {
  const orders = Array.from({ length: 6 }, (_, round) => orderOf(['a', 'b', 'c'], round).join(''))
  expect(orders).toEqual(['abc', 'cba', 'bca', 'acb', 'cab', 'bac'])
  expect(orderOf([], 1)).toEqual([])
})

it('runs those that only wait side by side, once all of them are ready and the others are done', async () => {
  const log: string[] = []
  let arrived = 0
  let meet = () => {}
  const met = new Promise<void>((resolve) => {
    meet = resolve
  })
  const idle = (name: string): Contestant => ({
    name,
    how: '',
    isIdle: true,
    open: async () => ({
      prepare: async () => void log.push(`${name} ready`),
      async round() {
        log.push(name)
        arrived += 1
        if (arrived === 2) meet()
        await met
        return { n: 1 }
      },
      close: async () => {},
    }),
  })
  const { outcomes } = await run([idle('x'), logging('busy', log), idle('y')], 1)
  expect(log).toEqual(['busy 5', 'busy 10', 'x ready', 'y ready', 'x', 'y', 'busy closed'])
  expect(outcomes.map(({ contestant, rounds }) => [contestant, rounds.length])).toEqual([
    ['x', 1],
    ['busy', 1],
    ['y', 1],
  ])
})

it('says how long it took, and how much of that was measured', async () => {
  const slow: Runner = {
    prepare: () => new Promise((resolve) => setTimeout(resolve, 20)),
    round: (forMs) => new Promise((resolve) => setTimeout(resolve, forMs, { n: 1 })),
    close: async () => undefined,
  }
  const { tookMs, measuredMs } = await run([logging('slow', [], { open: async () => slow })], 2)
  expect(measuredMs).toBeGreaterThanOrEqual(18)
  expect(tookMs).toBeGreaterThanOrEqual(measuredMs + 2 * 18)
})

it('names what is not there, and closes all that was opened if something breaks', async () => {
  const log: string[] = []
  const absent = logging('absent', log, { open: () => Promise.reject(new Unavailable('not installed')) })
  expect((await run([absent, logging('a', log)], 1)).absent).toEqual([
    { contestant: 'absent', why: 'not installed' },
  ])
  const broken = logging('broken', log, { open: () => Promise.reject(new Error('broken')) })
  log.length = 0
  await expect(run([logging('a', log), broken], 1)).rejects.toThrow('broken')
  expect(log).toEqual(['a closed'])
})
