import { parseArgs } from 'node:util'

export const HELP = `Usage: npm run example:payments [-- options]

Three processes campaign in one election, and the leader charges invoices at a payment provider. Leaders are
killed, stopped and cut from the database at random moments. At the end each invoice must have been charged
exactly once: exit code 0 if so, else 1.

  --invoices <n>   how many there are (default 200)
  --seconds <n>    for how long trouble is made, and invoices fall due (default 20)
  --seed <n>       repeats the choices of an earlier run: which trouble, when, for how long, which answers are lost
  --unguarded      the same without leadership.once and without the guard, to see what goes wrong then
  --help           show this text

DATABASE_URL, if set, names a PostgreSQL to use instead of starting one. The invoices get a schema of their own
there, which is dropped at the end; schema elect is installed and stays, with the ledger of what was done.`

/** What the example was asked to do. */
export interface PaymentsOptions {
  readonly invoices: number
  readonly seconds: number
  readonly seed: number
  readonly isGuarded: boolean
  readonly help: boolean
}

/** @returns what was wrong, as a text, if the arguments are not understood. */
export function readOptions(args: string[]): PaymentsOptions | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        invoices: { type: 'string', default: '200' },
        seconds: { type: 'string', default: '20' },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
        unguarded: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    return {
      invoices: wholeNumber('invoices', values.invoices, 1, 10_000),
      seconds: wholeNumber('seconds', values.seconds, 1, 3_600),
      seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
      isGuarded: !values.unguarded,
      help: values.help,
    }
  } catch (error) {
    // The first sentence says it; the others explain positional arguments, which there are none of.
    return String(error instanceof Error ? error.message : error).split('. ', 1)[0] ?? ''
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new Error(`Invalid --${name}: expected a whole number from ${min} to ${max}, got "${text}"`)
}
