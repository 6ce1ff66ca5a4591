/**
 * Runs a scenario: each round all contestants in turn, so that a slow moment of the machine strikes all alike. A round that is not counted
 * comes first: caches and prepared statements are filled by it. Contestants that do no more than wait do so side by side.
 */
import { type Bench, type Figures, type Runner, type Scenario, Unavailable } from './scenario.ts'

export interface RoundOptions {
  readonly rounds: number
  readonly roundMs: number
}

/** Many short rounds rather than a few long ones: what disturbs a machine comes and goes, and strikes one round, not the median. */
const USUAL: RoundOptions = { rounds: 5, roundMs: 250 }
const QUICK: RoundOptions = { rounds: 2, roundMs: 40 }

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
  /** Only the rounds that are counted. */
  readonly measuredMs: number
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
  let measuredMs = 0
  const counted = async ({ runner, outcome }: Entry): Promise<void> => {
    outcome.rounds.push(await runner.round(roundMs))
  }
  const measure = async (work: Promise<unknown>): Promise<void> => {
    const startMs = performance.now()
    await work
    measuredMs += performance.now() - startMs
  }
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
    for (const { runner } of busy) {
      await runner.prepare?.(roundMs / 2)
      await runner.round(roundMs / 2)
    }
    for (let round = 0; round < rounds; round++) {
      for (const entry of orderOf(busy, round)) {
        await entry.runner.prepare?.(roundMs)
        await measure(counted(entry))
      }
      await Promise.all(idle.map(({ runner }) => runner.prepare?.(roundMs)))
      await measure(Promise.all(idle.map(counted)))
    }
  } finally {
    for (const { runner } of entries) await runner.close()
  }
  const tookMs = performance.now() - begunMs
  const outcomes = entries.map(({ outcome }) => outcome)
  return { scenario, outcomes, absent, rounds, roundMs, tookMs, measuredMs }
}

/**
 * Another one begins each time, and each second time it goes backwards: what one leaves behind (pages that are still to be written, say)
 * does not always strike the same one.
 */
export function orderOf<One>(all: readonly One[], round: number): One[] {
  const first = Math.floor(round / 2) % Math.max(1, all.length)
  const order = [...all.slice(first), ...all.slice(0, first)]
  return round % 2 === 0 ? order : order.reverse()
}
