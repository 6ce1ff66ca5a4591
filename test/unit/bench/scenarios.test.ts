import { expect, it } from 'vitest'
import { chooseRounds } from '../../../bench/harness/rounds.ts'
import { scenarios } from '../../../bench/scenarios/scenarios.ts'

it('gives each scenario, and each contestant of one, a name of its own', () => {
  for (const named of [scenarios, ...scenarios.map(({ contestants }) => contestants)]) {
    const names = named.map(({ name }) => name)
    expect(names).toEqual([...new Set(names)])
  }
})

it.each(scenarios.map((scenario) => [scenario.name, scenario] as const))(
  'has goals in %s only for those who take part and for what is told',
  (_, { contestants, goals, figure, alsoTold = [] }) => {
    const names = contestants.map(({ name }) => name)
    const figures = [figure, ...alsoTold.map((told) => (typeof told === 'string' ? told : told.figure))]
    for (const goal of goals) {
      expect(names).toContain(goal.contestant)
      if ('against' in goal) expect(names).toContain(goal.against)
      else expect(figures).toContain(goal.figure)
    }
  },
)

it.each([
  ['bare updates', 'uncontended', 'connections', 'one-process-16', 'one-process-256'],
  ['bare updates, together', 'one-process-16', 'one-process-256'],
  ['bare advisory lock', 'hand-off-2', 'hand-off-16', 'hand-off-64'],
  ['bare follower, durable', 'notification'],
])('shows by %s what the machine can do at all', (floor, ...names) => {
  for (const name of names) {
    const contestants = scenarios.find((scenario) => scenario.name === name)?.contestants ?? []
    expect(contestants.map((contestant) => contestant.name)).toContain(floor)
  }
})

// Whoever adds a contestant or a longer round sees here what that costs. What is opened, and waited for, comes on top.
it.each([
  ['a whole run', false, 165],
  ['a quick one', true, 12],
])('has rounds in %s that fit into the time that is told of it', (_, isQuick, secondsMost) => {
  let ms = 0
  for (const scenario of scenarios) {
    const { rounds, roundMs } = chooseRounds(scenario, isQuick)
    const busy = scenario.contestants.filter(({ isIdle = false }) => !isIdle)
    ms += busy.length * (rounds + 0.5) * roundMs
  }
  expect(ms / 1000).toBeLessThan(secondsMost)
})
