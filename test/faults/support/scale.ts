/**
 * How often the faults are tried. The defaults fit into CI; one number makes all of them longer: `FAULTS=20 npm run test:faults` tries
 * everything twenty times as often. A test can be given a count of its own beside it, such as `RUNS=200`.
 *
 * A run prints its seed, and `SEED=…` with the same counts repeats it.
 */
import { randomInt } from 'node:crypto'

/**
 * The count for this run.
 *
 * @param defaultCount - what fits into CI
 * @param variable - the environment variable that names a count for this test alone
 */
export function scaled(defaultCount: number, variable?: string): number {
  const own = variable === undefined ? undefined : numberFrom(variable)
  return Math.max(1, Math.round(own ?? defaultCount * (numberFrom('FAULTS') ?? 1)))
}

/** The seed of this run: the given one, else a new one for each test file. */
export const seed = numberFrom('SEED') ?? randomInt(1, 2 ** 31)

/** A time limit for a test that grows with its count. */
export function timeoutFor(count: number, eachMs: number, baseMs = 60_000): { readonly timeout: number } {
  return { timeout: baseMs + count * eachMs }
}

function numberFrom(variable: string): number | undefined {
  const text = process.env[variable]
  if (text === undefined || text === '') return undefined
  const number = Number(text)
  if (!(number > 0 && Number.isFinite(number))) {
    throw new Error(`Invalid ${variable}: expected a number above 0, got ${JSON.stringify(text)}`)
  }
  return number
}
