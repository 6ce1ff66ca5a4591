/** What a scenario's rounds come to: medians, ratios, and whether its goals were met. */
import type { ScenarioResult } from './rounds.ts'
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
  readonly ratio: number
  readonly wanted: number
  readonly isMet: boolean
}

export interface Verdict {
  readonly name: string
  readonly title: string
  readonly figure: string
  readonly better: 'more' | 'less'
  readonly lines: readonly Line[]
  readonly goals: readonly GoalVerdict[]
  readonly absent: readonly { contestant: string; why: string }[]
}

export function judge({ scenario, outcomes, absent }: ScenarioResult): Verdict {
  const { name, title, figure, better, goals, alsoTold = [] } = scenario
  const values = (contestant: string, what: string) =>
    outcomes
      .find((outcome) => outcome.contestant === contestant)
      ?.rounds.map((round) => round[what] ?? Number.NaN) ?? []
  const first = outcomes[0]?.contestant ?? ''
  const lines = outcomes.map(({ contestant, how }): Line => {
    const own = values(contestant, figure)
    const [mine, base] = [median(own), median(values(first, figure))]
    return {
      contestant,
      how,
      median: mine,
      spread: spread(own),
      ratio: better === 'more' ? mine / base : base / mine,
      also: Object.fromEntries(
        alsoTold
          .map((what) => [what, median(values(contestant, what))] as const)
          .filter(([, value]) => Number.isFinite(value)),
      ),
    }
  })
  const verdicts = goals.flatMap(({ contestant, against, ratio: wanted }): GoalVerdict[] => {
    const [mine, other] = [median(values(contestant, figure)), median(values(against, figure))]
    if (!Number.isFinite(mine) || !Number.isFinite(other)) return []
    const ratio = mine / other
    return [
      {
        text: `${contestant} ${better === 'more' ? '≥' : '≤'} ${wanted} × ${against}`,
        ratio,
        wanted,
        isMet: better === 'more' ? ratio >= wanted : ratio <= wanted,
      },
    ]
  })
  return { name, title, figure, better, lines, goals: verdicts, absent }
}
