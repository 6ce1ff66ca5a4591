import { parseArgs } from 'node:util'

export const HELP = `Usage: npm run demo [-- options]

Three processes stand for election on a PostgreSQL of their own. The leader is killed, the next one is
stopped in an orderly way, and you see who takes over, under which token, and after what time.

  --keep   at the end, leave the database and whoever leads running, to look around, until Ctrl-C
  --help   show this text

DATABASE_URL, if set, names a PostgreSQL to use instead of starting one: schema elect is installed there
and stays.`

/** What the demo was asked to do. */
export interface DemoOptions {
  readonly keep: boolean
  readonly help: boolean
}

/** @returns what was wrong, as a text, if the arguments are not understood. */
export function readOptions(args: string[]): DemoOptions | string {
  try {
    const { values } = parseArgs({ args, options: { keep: { type: 'boolean' }, help: { type: 'boolean' } } })
    return { keep: values.keep === true, help: values.help === true }
  } catch (error) {
    // The first sentence says it; the others explain positional arguments, which there are none of.
    return String(error instanceof Error ? error.message : error).split('. ', 1)[0] ?? ''
  }
}
