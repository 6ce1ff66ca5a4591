/**
 * Runs a scenario: each round all contestants in turn, so that a slow moment of the machine strikes all alike. A round that is not counted
 * comes first: caches and prepared statements are filled by it.
 */
import { type Bench, type Figures, type Runner, type Scenario, Unavailable } from './scenario.ts'

export interface RoundOptions {
  readonly rounds: number
  readonly roundMs: number
}

const USUAL: RoundOptions = { rounds: 5, roundMs: 700 }
const QUICK: RoundOptions = { rounds: 2, roundMs: 150 }

/** What was asked for on the command line holds for all scenarios. */
export function chooseRounds(
  { rounds = USUAL.rounds, roundMs = USUAL.roundMs }: Pick<Scenario, 'rounds' | 'roundMs'>,
  isQuick: boolean,
  asked: { rounds?: number | undefined; roundMs?: number | undefined } = {},
): RoundOptions {
  return {
    rounds: asked.rounds ?? (isQuick ? Math.min(rounds, QUICK.rounds) : rounds),
    roundMs: asked.roundMs ?? (isQuick ? Math.min(roundMs, QUICK.roundMs) : roundMs),
  }
}

export interface Outcome {
  readonly contestant: string
  readonly how: string
  /** One entry for each counted round. */
  readonly rounds: readonly Figures[]
}

export interface ScenarioResult extends RoundOptions {
  readonly scenario: Scenario
  readonly outcomes: readonly Outcome[]
  /** What could not be run, and why. */
  readonly absent: readonly { contestant: string; why: string }[]
}

export async function runScenario(
  bench: Bench,
  scenario: Scenario,
  { rounds, roundMs }: RoundOptions,
): Promise<ScenarioResult> {
  const entered: { runner: Runner; outcome: { contestant: string; how: string; rounds: Figures[] } }[] = []
  const absent: { contestant: string; why: string }[] = []
  try {
    for (const { name, how, open } of scenario.contestants) {
      try {
        const runner = await open(bench)
        entered.push({ runner, outcome: { contestant: name, how, rounds: [] } })
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error
        absent.push({ contestant: name, why: error.message })
      }
    }
    for (const { runner } of entered) await runner.round(roundMs / 2)
    for (let round = 0; round < rounds; round++) {
      // Nobody always comes after the same one.
      const order = [...entered.slice(round % entered.length), ...entered.slice(0, round % entered.length)]
      for (const { runner, outcome } of order) outcome.rounds.push(await runner.round(roundMs))
    }
  } finally {
    for (const { runner } of entered) await runner.close()
  }
  return { scenario, outcomes: entered.map(({ outcome }) => outcome), absent, rounds, roundMs }
}
