import { expect, it } from 'vitest'
import { chooseRounds } from '../../../bench/harness/rounds.ts'

it('has usual rounds, fewer and shorter ones in a quick run', () => {
  const [usual, quick] = [chooseRounds({}, false), chooseRounds({}, true)]
  expect(quick.rounds).toBeLessThan(usual.rounds)
  expect(quick.roundMs).toBeLessThan(usual.roundMs)
})

it('has the rounds that the scenario chooses, and no more than those in a quick run', () => {
  expect(chooseRounds({ rounds: 9, roundMs: 50 }, false)).toEqual({ rounds: 9, roundMs: 50 })
  expect(chooseRounds({ rounds: 1, roundMs: 50 }, true)).toEqual({ rounds: 1, roundMs: 50 })
  expect(chooseRounds({ rounds: 9 }, true).rounds).toBeLessThan(9)
})

it('has the rounds that are asked for, whatever the scenario says', () => {
  const asked = { rounds: 7, roundMs: undefined }
  expect(chooseRounds({ rounds: 1, roundMs: 50 }, false, asked)).toEqual({ rounds: 7, roundMs: 50 })
  expect(chooseRounds({ rounds: 1, roundMs: 50 }, true, asked).rounds).toBe(7)
})
