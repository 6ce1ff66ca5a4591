import type { Verdict } from './checker.ts'

/** What all schedules of a variant have come to. */
export interface Tally {
  readonly variant: string
  readonly seed: number
  schedules: number
  grants: number
  commits: number
  stale: number
  /** Schedules with at least one stale commit. */
  readonly staleSchedules: string[]
  /** Everything else that must never be, with the schedule it happened in. */
  readonly violations: string[]
  /** How steps ended, such as "guard LE001", and how often. */
  readonly outcomes: Map<string, number>
}

export function emptyTally(variant: string, seed: number): Tally {
  const counts = { schedules: 0, grants: 0, commits: 0, stale: 0 }
  return { variant, seed, ...counts, staleSchedules: [], violations: [], outcomes: new Map() }
}

export function addVerdict(tally: Tally, lease: string, verdict: Verdict): void {
  tally.grants += verdict.grants
  tally.commits += verdict.commits
  tally.stale += verdict.stale
  if (verdict.stale > 0) tally.staleSchedules.push(lease)
  tally.violations.push(...verdict.violations.map((violation) => `${lease}: ${violation}`))
}

/** One line, for people. */
export function summaryOf(tally: Tally): string {
  const counts = [
    `${tally.schedules} schedules`,
    `${tally.grants} grants`,
    `${tally.commits} commits`,
    `${tally.stale} stale (in ${tally.staleSchedules.length} schedules)`,
    `${tally.violations.length} other violations`,
  ]
  return `${tally.variant}: ${counts.join(', ')}; SEED=${tally.seed}`
}

/** How the steps ended, most frequent first: shows that a run did what it was meant to. */
export function outcomesOf(tally: Tally): string {
  const sorted = [...tally.outcomes].sort(([, one], [, other]) => other - one)
  return sorted.map(([outcome, count]) => `${outcome} ${count}`).join(', ')
}
