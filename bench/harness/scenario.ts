/** What a benchmark is made of: scenarios, in each of which contestants do the same work in turns. */
import type { BenchDatabase } from './bench-database.ts'
import type { Peers } from '../peers/peers.ts'

/** What contestants are given. */
export interface Bench {
  readonly database: BenchDatabase
  readonly peers: Peers
  /** A quick run is for seeing that everything runs: its figures say little. */
  readonly isQuick: boolean
  /** What takes long may run, too. */
  readonly isLong: boolean
}

/**
 * What one round has shown, by name. A list (the time of each kill, say) stands for its members: over all rounds they are taken together,
 * where of single numbers the median of the rounds is taken.
 */
export type Figures = Readonly<Record<string, number | readonly number[]>>

/** A contestant that is ready to run rounds. */
export interface Runner {
  /** Gets ready for a round of about that length: it is not measured. */
  prepare?(forMs: number): Promise<void>
  /** Works for about that long. */
  round(forMs: number): Promise<Figures>
  close(): Promise<void>
}

/** One way to do a scenario's work. */
export interface Contestant {
  readonly name: string
  /** What it does, and with which durability, in a few words. */
  readonly how: string
  /**
   * Its rounds are spent waiting, which takes nothing from the others, or it measures no time: those of all such contestants run side by
   * side, after the rounds of the others, and nothing is warmed up.
   */
  readonly isIdle?: boolean
  /** @throws Unavailable if what it needs is not installed. */
  open(bench: Bench): Promise<Runner>
}

/** What the project has set itself as a goal: a comparison by the scenario's figure, or a bound for any figure that is told. */
export type Goal = RatioGoal | BoundGoal

export interface RatioGoal {
  readonly contestant: string
  readonly against: string
  /** At least that ratio, if more is better in the scenario; else at most. */
  readonly ratio: number
}

export type BoundGoal = {
  readonly contestant: string
  /** The scenario's figure, or one that it also tells. */
  readonly figure: string
} & ({ readonly atMost: number } | { readonly atLeast: number })

/** A figure that is no median of the rounds: a sum, say, or a quantile of all rounds together. */
export interface Told {
  readonly figure: string
  readonly over: (rounds: readonly Figures[]) => number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** The figure that is compared, such as `cycles/s`. */
  readonly figure: string
  readonly better: 'more' | 'less'
  readonly contestants: readonly Contestant[]
  readonly goals: readonly Goal[]
  /** Further figures to be told, in this order: by name the median of the rounds. */
  readonly alsoTold?: readonly (string | Told)[]
  /** How many rounds, and how long each, where it is to be other than everywhere. A quick run has fewer and shorter ones all the same. */
  readonly rounds?: number
  readonly roundMs?: number
}

/** A scenario that there is no way to run here. */
export interface AbsentScenario {
  readonly title: string
  readonly why: string
}

/** What a contestant needs is not here: it is passed over, and named. */
export class Unavailable extends Error {}
