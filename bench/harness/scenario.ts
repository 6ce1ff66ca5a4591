/** What a benchmark is made of: scenarios, in each of which contestants do the same work in turns. */
import type { BenchDatabase } from './bench-database.ts'
import type { Peers } from '../peers/peers.ts'

/** What contestants are given. */
export interface Bench {
  readonly database: BenchDatabase
  readonly peers: Peers
  /** A quick run is for seeing that everything runs: its figures say little. */
  readonly isQuick: boolean
}

/** What one round has shown. The figure that the scenario compares is named by its `figure`. */
export type Figures = Readonly<Record<string, number>>

/** A contestant that is ready to run rounds. */
export interface Runner {
  /** Works for about that long. */
  round(forMs: number): Promise<Figures>
  close(): Promise<void>
}

/** One way to do a scenario's work. */
export interface Contestant {
  readonly name: string
  /** What it does, and with which durability, in a few words. */
  readonly how: string
  /** @throws Unavailable if what it needs is not installed. */
  open(bench: Bench): Promise<Runner>
}

/** A comparison that the project has set itself as a goal. */
export interface Goal {
  readonly contestant: string
  readonly against: string
  /** At least that ratio, if more is better in the scenario; else at most. */
  readonly ratio: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  /** The figure that is compared, such as `cycles/s`. */
  readonly figure: string
  readonly better: 'more' | 'less'
  readonly contestants: readonly Contestant[]
  readonly goals: readonly Goal[]
  /** Further figures to be told, in this order. */
  readonly alsoTold?: readonly string[]
}

/** What a contestant needs is not here: it is passed over, and named. */
export class Unavailable extends Error {}
