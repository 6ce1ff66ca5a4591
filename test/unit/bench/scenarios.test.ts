import { expect, it } from 'vitest'
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
