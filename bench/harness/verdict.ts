/** What a scenario's rounds come to: medians, ratios, and whether its goals were met. */
import { formatNumber, formatRatio } from './format.ts'
import type { Outcome, ScenarioResult } from './rounds.ts'
import type { Goal, Scenario } from './scenario.ts'
import { median, spread } from './statistics.ts'

export interface Line {
  readonly contestant: string
  readonly how: string
  readonly median: number
  /** Interquartile range as a part of the median. */
  readonly spread: number
  /** How much better than the first contestant: more than 1 is better. */
  readonly ratio: number
  readonly also: Readonly<Record<string, number>>
}

export interface GoalVerdict {
  readonly text: string
  /** What was measured, as people read it. */
  readonly measured: string
  /** The ratio, or the figure itself. Null: a contestant was not run. */
  readonly value: number | null
  readonly wanted: number
  /** Null: not measured. */
  readonly isMet: boolean | null
}

export interface Verdict {
  readonly name: string
  readonly title: string
  readonly figure: string
  readonly better: 'more' | 'less'
  readonly rounds: number
  readonly roundMs: number
  readonly tookMs: number
  /** Of that, the rounds that are counted. */
  readonly measuredMs: number
  readonly lines: readonly Line[]
  /** Which further figures any of them has, in the order in which they are told. */
  readonly alsoTold: readonly string[]
  readonly goals: readonly GoalVerdict[]
  readonly absent: readonly { contestant: string; why: string }[]
}

export function judge(result: ScenarioResult): Verdict {
  const { scenario, outcomes, absent, rounds, roundMs, tookMs, measuredMs } = result
  const { name, title, figure, better, goals, alsoTold = [] } = scenario
  const base = tell(scenario, outcomes[0], figure)
  const further = alsoTold.map((told) => (typeof told === 'string' ? told : told.figure))
  const lines = outcomes.map((outcome): Line => {
    const mine = tell(scenario, outcome, figure)
    return {
      contestant: outcome.contestant,
      how: outcome.how,
      median: mine,
      spread: spread(valuesOf(outcome, figure)),
      ratio: better === 'more' ? mine / base : base / mine,
      also: Object.fromEntries(
        further
          .map((what) => [what, tell(scenario, outcome, what)] as const)
          .filter(([, value]) => Number.isFinite(value)),
      ),
    }
  })
  const known = further.filter((what) => lines.some(({ also }) => what in also))
  const verdicts = goals.map((goal) => judgeGoal(scenario, outcomes, goal))
  return {
    name,
    title,
    figure,
    better,
    rounds,
    roundMs,
    tookMs,
    measuredMs,
    lines,
    alsoTold: known,
    goals: verdicts,
    absent,
  }
}

function judgeGoal(scenario: Scenario, outcomes: readonly Outcome[], goal: Goal): GoalVerdict {
  const of = (contestant: string, figure: string) =>
    tell(
      scenario,
      outcomes.find((outcome) => outcome.contestant === contestant),
      figure,
    )
  if ('ratio' in goal) {
    const { contestant, against, ratio: wanted } = goal
    const isLeast = scenario.better === 'more'
    const value = of(contestant, scenario.figure) / of(against, scenario.figure)
    return verdictOf(
      `${contestant} ${bound(isLeast, wanted)} × ${against}`,
      value,
      wanted,
      isLeast,
      formatRatio,
    )
  }
  const isLeast = 'atLeast' in goal
  const wanted = isLeast ? goal.atLeast : goal.atMost
  const value = of(goal.contestant, goal.figure)
  const text = `${goal.contestant}: ${goal.figure} ${bound(isLeast, wanted)}`
  return verdictOf(text, value, wanted, isLeast, formatNumber)
}

function bound(isLeast: boolean, wanted: number): string {
  return `${isLeast ? '≥' : '≤'} ${wanted}`
}

function verdictOf(
  text: string,
  value: number,
  wanted: number,
  isLeast: boolean,
  format: (value: number) => string,
): GoalVerdict {
  if (!Number.isFinite(value)) return { text, measured: 'not measured', value: null, wanted, isMet: null }
  return { text, measured: format(value), value, wanted, isMet: isLeast ? value >= wanted : value <= wanted }
}

/** What the rounds of a contestant come to in one figure. NaN: not measured. */
function tell({ alsoTold = [] }: Scenario, outcome: Outcome | undefined, figure: string): number {
  if (outcome === undefined) return Number.NaN
  const told = alsoTold.find((one) => typeof one !== 'string' && one.figure === figure)
  if (told !== undefined && typeof told !== 'string') return told.over(outcome.rounds)
  return median(valuesOf(outcome, figure))
}

function valuesOf({ rounds }: Outcome, figure: string): number[] {
  return rounds.flatMap((round) => round[figure] ?? [])
}
