/** Figures that are told over all rounds together, where the median of the rounds would say too little. */
import type { Figures, Told } from './scenario.ts'
import { fairness, quantile } from './statistics.ts'

/** @param of - the figure whose values in all rounds are meant */
export function toldQuantile(figure: string, of: string, part: number): Told {
  return { figure, over: (rounds) => quantile(valuesOf(rounds, of), part) }
}

export function toldMost(figure: string, of = figure): Told {
  return { figure, over: (rounds) => Math.max(...valuesOf(rounds, of)) }
}

export function toldCount(figure: string, of: string): Told {
  return { figure, over: (rounds) => valuesOf(rounds, of).length }
}

/** Fewer for each say nothing of fairness: with one and a half for each some have twice what others have, however fair it is. */
const SHARE_MIN = 5

/** Jain's index of what each has got in all rounds. @param of - lists with one entry for each, in the same order in every round */
export function toldFairness(figure: string, of: string): Told {
  return {
    figure,
    over(rounds) {
      const sums: number[] = []
      for (const round of rounds) {
        for (const [index, share] of [round[of] ?? []].flat().entries()) {
          sums[index] = (sums[index] ?? 0) + share
        }
      }
      const isEnough = sums.reduce((a, b) => a + b, 0) >= SHARE_MIN * sums.length
      return isEnough ? fairness(sums) : Number.NaN
    },
  }
}

function valuesOf(rounds: readonly Figures[], figure: string): number[] {
  return rounds.flatMap((round) => round[figure] ?? [])
}
