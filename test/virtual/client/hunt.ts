/** Runs schedules until one goes wrong. */
import { type Run, runSchedule } from './run.ts'

/** The first schedule that goes wrong. */
export interface Found {
  readonly number: number
  readonly violations: readonly string[]
}

/** How many worlds are under way at once: while one waits for its turn, another has it. */
const AT_ONCE = 4

/**
 * Runs the schedules below `count`; with `part`, only every so manieth.
 *
 * @returns the first that goes wrong, and how many were run and how often somebody was elected.
 */
export async function hunt(
  seed: number,
  count: number,
  part: { first: number; each: number } = { first: 0, each: 1 },
): Promise<{ found: Found | undefined; ran: number; terms: number }> {
  let next = part.first
  let ran = 0
  let terms = 0
  const all: Found[] = []
  const work = async () => {
    while (next < count && all.length === 0) {
      const number = next
      next += part.each
      const run = await outcomeOf(seed, number)
      ran += 1
      terms += run.terms
      if (run.violations.length > 0) all.push({ number, violations: run.violations })
    }
  }
  // Much fails on purpose, and nobody reads where.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  Error.stackTraceLimit = stackTraceLimit
  // Several were under way.
  const [found] = all.sort((one, other) => one.number - other.number)
  return { found, ran, terms }
}

/** A client that breaks altogether is found out as well. */
async function outcomeOf(seed: number, number: number): Promise<Run> {
  try {
    return await runSchedule(seed, number)
  } catch (error) {
    return {
      trace: [],
      violations: [`broke: ${error instanceof Error ? error.message : String(error)}`],
      terms: 0,
    }
  }
}
