/**
 * How many schedules are run: `VIRTUAL=1000000 npm run test:virtual` runs a million, where CI runs 50,000. Most are of the client, which
 * is in memory; one of forty is of the SQL, in PGlite.
 *
 * A run prints its seed; what fails is told with a command that repeats that one schedule.
 */
import { randomInt } from 'node:crypto'

/** One of so many is of the SQL: it costs six to eight times as much as one of the client, and all faults are found within about a hundred. */
const SQL_PART = 40

const IN_CI = 50_000

/** All schedules of a run. */
const schedulesInAll = wholeNumber('VIRTUAL', IN_CI)

/** Asked for more than CI runs: there is time for what is rare. */
export const isLongRun = schedulesInAll > IN_CI

export const sqlSchedules = Math.ceil(schedulesInAll / SQL_PART)
export const clientSchedules = schedulesInAll - sqlSchedules

/**
 * The seed of this run: the given one. Else always the same, so that a change that is tested is what fails or not; and a new one for
 * each file where more is run than by default, which is for finding what nobody has thought of.
 */
export const seed = wholeNumber('SEED', schedulesInAll > 50_000 ? randomInt(1, 2 ** 31) : 380_707_163)

/** That in which faults are looked for: always the same, so that whether each is found is no matter of luck. `SEED` takes another. */
export const faultSeed = wholeNumber('SEED', 1)

/** Repeats one schedule and shows its steps. */
export function replayCommand(part: 'sql' | 'client', of: number, number: number): string {
  return `npx tsx test/virtual/replay.ts ${part} ${of} ${number}`
}

function wholeNumber(variable: string, otherwise: number): number {
  const text = process.env[variable]
  if (text === undefined || text === '') return otherwise
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  throw new Error(`Invalid ${variable}: expected a whole number above 0, got ${JSON.stringify(text)}`)
}
