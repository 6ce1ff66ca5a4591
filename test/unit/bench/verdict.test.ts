import { describe, expect, it } from 'vitest'
import type { Figures, Scenario } from '../../../bench/harness/scenario.ts'
import { judge, type Verdict } from '../../../bench/harness/verdict.ts'

const unused = () => Promise.reject(new Error('no round is run here'))

function verdictOf(scenario: Partial<Scenario>, rounds: Record<string, readonly Figures[]>): Verdict {
  const contestants = Object.keys(rounds).map((name) => ({ name, how: '', open: unused }))
  return judge({
    scenario: { name: 's', title: 'S', figure: 'n/s', better: 'more', goals: [], ...scenario, contestants },
    outcomes: Object.entries(rounds).map(([contestant, of]) => ({ contestant, how: '', rounds: of })),
    absent: [],
    rounds: 3,
    roundMs: 100,
    tookMs: 900,
    measuredMs: 300,
  })
}

const rates = (...values: number[]): Figures[] => values.map((value) => ({ 'n/s': value }))

describe('a comparison', () => {
  it('is of medians, and at least the ratio where more is better', () => {
    const goals = [
      { contestant: 'ours', against: 'theirs', ratio: 2 },
      { contestant: 'ours', against: 'theirs', ratio: 2.1 },
    ]
    const verdict = verdictOf({ goals }, { ours: rates(1, 20, 1000), theirs: rates(10, 10, 1) })
    expect(verdict.goals).toEqual([
      { text: 'ours ≥ 2 × theirs', measured: '2.00 ×', value: 2, wanted: 2, isMet: true },
      { text: 'ours ≥ 2.1 × theirs', measured: '2.00 ×', value: 2, wanted: 2.1, isMet: false },
    ])
  })

  it('is at most the ratio where less is better', () => {
    const goals = [
      { contestant: 'ours', against: 'theirs', ratio: 0.5 },
      { contestant: 'theirs', against: 'ours', ratio: 0.5 },
    ]
    const verdict = verdictOf({ goals, better: 'less' }, { ours: rates(1), theirs: rates(2) })
    expect(verdict.goals.map(({ isMet }) => isMet)).toEqual([true, false])
    expect(verdict.lines.map(({ ratio }) => ratio)).toEqual([1, 0.5])
  })

  it('with a contestant that was not run is neither met nor missed, and is told', () => {
    const goals = [{ contestant: 'ours', against: 'absent', ratio: 2 }]
    const [goal] = verdictOf({ goals }, { ours: rates(1) }).goals
    expect(goal).toMatchObject({ text: 'ours ≥ 2 × absent', measured: 'not measured', isMet: null })
  })
})

describe('a bound', () => {
  it('is one of any figure, by its median', () => {
    const rounds = [1, 2, 90].map((bytes) => ({ 'n/s': 5, 'WAL bytes': bytes }))
    const goals = [
      { contestant: 'ours', figure: 'WAL bytes', atMost: 2 },
      { contestant: 'ours', figure: 'WAL bytes', atMost: 1 },
      { contestant: 'ours', figure: 'n/s', atLeast: 5 },
      { contestant: 'ours', figure: 'n/s', atLeast: 6 },
    ]
    expect(verdictOf({ goals }, { ours: rounds }).goals.map(({ text, isMet }) => [text, isMet])).toEqual([
      ['ours: WAL bytes ≤ 2', true],
      ['ours: WAL bytes ≤ 1', false],
      ['ours: n/s ≥ 5', true],
      ['ours: n/s ≥ 6', false],
    ])
  })

  it('of a figure that is told over all rounds is one of that, not of its median', () => {
    const sum = {
      figure: 'overlaps',
      over: (rounds: readonly Figures[]) => rounds.reduce((all, { overlaps }) => all + Number(overlaps), 0),
    }
    const rounds = [0, 0, 1].map((overlaps) => ({ 'n/s': 5, overlaps }))
    const goals = [{ contestant: 'ours', figure: 'overlaps', atMost: 0 }]
    const verdict = verdictOf({ goals, alsoTold: [sum] }, { ours: rounds })
    expect(verdict.goals).toMatchObject([{ value: 1, isMet: false }])
    expect(verdict.lines[0]?.also).toEqual({ overlaps: 1 })
  })

  it('of a figure that nobody told is not measured', () => {
    const goals = [{ contestant: 'ours', figure: 'typo', atMost: 5 }]
    expect(verdictOf({ goals }, { ours: rates(1) }).goals).toMatchObject([{ isMet: null }])
  })
})

it('takes the lists of all rounds together', () => {
  const rounds = [{ 'n/s': [1, 2] }, { 'n/s': [9] }]
  expect(verdictOf({}, { ours: rounds }).lines).toMatchObject([{ median: 2 }])
})

it('tells further figures in the order of the scenario, whoever has them', () => {
  const rounds = { ours: [{ 'n/s': 1, b: 1 }], theirs: [{ 'n/s': 1, a: 1, b: 1 }] }
  expect(verdictOf({ alsoTold: ['a', 'b', 'c'] }, rounds).alsoTold).toEqual(['a', 'b'])
})
