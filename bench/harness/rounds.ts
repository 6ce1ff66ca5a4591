/**
 * Runs a scenario: each round all contestants in turn, so that a slow moment of the machine strikes all alike. A round that is not counted
 * comes first: caches and prepared statements are filled by it. Contestants that do no more than wait do so side by side.
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
    rounds: asked.rounds ?? (isQuick ? Math.min(Math.max(1, Math.floor(rounds / 2)), QUICK.rounds) : rounds),
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
  /** With all that is not counted: starting, warming up, ending. */
  readonly tookMs: number
}

interface Entry {
  readonly runner: Runner
  readonly isIdle: boolean
  readonly outcome: { contestant: string; how: string; rounds: Figures[] }
}

export async function runScenario(
  bench: Bench,
  scenario: Scenario,
  { rounds, roundMs }: RoundOptions,
): Promise<ScenarioResult> {
  const begunMs = performance.now()
  const entries: Entry[] = []
  const absent: { contestant: string; why: string }[] = []
  try {
    for (const { name, how, isIdle = false, open } of scenario.contestants) {
      try {
        const runner = await open(bench)
        entries.push({ runner, isIdle, outcome: { contestant: name, how, rounds: [] } })
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error
        absent.push({ contestant: name, why: error.message })
      }
    }
    const [busy, idle] = [entries.filter(({ isIdle }) => !isIdle), entries.filter(({ isIdle }) => isIdle)]
    for (const { runner } of busy) await runAlone(runner, roundMs / 2)
    for (let round = 0; round < rounds; round++) {
      // Nobody always comes after the same one.
      const first = round % Math.max(1, busy.length)
      for (const { runner, outcome } of [...busy.slice(first), ...busy.slice(0, first)]) {
        outcome.rounds.push(await runAlone(runner, roundMs))
      }
      await Promise.all(idle.map(({ runner }) => runner.prepare?.(roundMs)))
      await Promise.all(
        idle.map(async ({ runner, outcome }) => outcome.rounds.push(await runner.round(roundMs))),
      )
    }
  } finally {
    for (const { runner } of entries) await runner.close()
  }
  const tookMs = performance.now() - begunMs
  return { scenario, outcomes: entries.map(({ outcome }) => outcome), absent, rounds, roundMs, tookMs }
}

async function runAlone(runner: Runner, forMs: number): Promise<Figures> {
  await runner.prepare?.(forMs)
  return runner.round(forMs)
}
