import { parseArgs } from 'node:util'

export const HELP = `Usage: npm run example:patroni [-- options]

A real cluster: three PostgreSQL 15 servers under Patroni, with etcd, on this machine. Three processes campaign in
one election, and the leader writes into a table that only the leader may write to. Then the primary fails over,
again and again: a planned switchover, kill -9, a pause from which it returns. At the end the table on the surviving
timeline is checked. Exit code 0 if what is promised held, 1 if not, 2 if the options make no sense, 3 if a program
is missing.

  --rounds <n>     how many fail-overs (default 3: one of each kind)
  --kinds <list>   which kinds: switchover,kill,pause (default all of them)
  --synchronous    Patroni's synchronous_mode on (default): no acknowledged write may be lost, and successors need
                   no grace
  --asynchronous   synchronous_mode off: the last writes before a kill may be lost; they are counted and told
  --seed <n>       repeats the choices of an earlier run: which fail-over, when, to whom
  --install        as root on Debian or Ubuntu: installs what is missing by apt-get first
  --help           show this text

Linux only. As root, the servers run as an unprivileged user. Nothing stays behind.`

export const KINDS = ['switchover', 'kill', 'pause'] as const

/** A way to lose the primary. */
export type Kind = (typeof KINDS)[number]

/** What the example was asked to do. */
export interface PatroniOptions {
  readonly rounds: number
  readonly kinds: readonly Kind[]
  readonly isSynchronous: boolean
  readonly seed: number
  readonly install: boolean
  readonly help: boolean
}

/** @returns what was wrong, as a text, if the arguments are not understood. */
export function readOptions(args: string[]): PatroniOptions | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        rounds: { type: 'string' },
        kinds: { type: 'string', default: KINDS.join(',') },
        synchronous: { type: 'boolean', default: false },
        asynchronous: { type: 'boolean', default: false },
        seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
        install: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.synchronous && values.asynchronous) {
      throw new Error('Invalid --asynchronous: expected it or --synchronous, got both')
    }
    const kinds = readKinds(values.kinds)
    return {
      rounds: wholeNumber('rounds', values.rounds ?? String(kinds.length), 1, 1_000),
      kinds,
      isSynchronous: !values.asynchronous,
      seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
      install: values.install,
      help: values.help,
    }
  } catch (error) {
    // The first sentence says it; the others explain positional arguments, which there are none of.
    return String(error instanceof Error ? error.message : error).split('. ', 1)[0] ?? ''
  }
}

function readKinds(text: string): Kind[] {
  const names = text.split(',')
  const kinds = KINDS.filter((kind) => names.includes(kind))
  if (kinds.length === names.length) return kinds
  throw new Error(`Invalid --kinds: expected some of ${KINDS.join(',')}, got "${text}"`)
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw new Error(`Invalid --${name}: expected a whole number from ${min} to ${max}, got "${text}"`)
}
