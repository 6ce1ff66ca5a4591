/** What a simulated fleet is made of. */

/** How those that wait for a lease hear of a change: each on a connection that listens, or by looking, as behind a pooler. */
export type Following = 'listen' | 'poll'

export interface FleetOptions {
  /** That hold leases. */
  readonly processes: number
  /** Of each process. */
  readonly leases: number
  /** All leases of a process by one row, or each by a renewal of its own, in one statement. */
  readonly isBySession: boolean
  readonly ttlMs: number
  readonly seconds: number
  /** Real ones, for all. */
  readonly connections: number
  /** Statements are prepared once a connection, as the client does where no pooler is in between. */
  readonly isPrepared: boolean
  /** So many percent of the processes crash in a minute. */
  readonly crashPercent: number
  /** Beside each process one that waits for its lease and keeps its place in line. Only where each process has one lease. */
  readonly following: Following | undefined
  /** In the middle of the run all processes beat within one retry interval, as after a restart of the server. */
  readonly hasHerd: boolean
  /** The same again: who crashes, and when who beats. */
  readonly seed: number
}

export const DEFAULTS: FleetOptions = {
  processes: 10_000,
  leases: 1,
  isBySession: false,
  ttlMs: 15_000,
  seconds: 20,
  connections: 16,
  isPrepared: false,
  crashPercent: 3,
  following: undefined,
  hasHerd: false,
  seed: 1,
}

/** The command line's: what is missing is as in {@link DEFAULTS}. */
export interface FleetArguments {
  readonly processes?: string | undefined
  readonly leases?: string | undefined
  readonly ttl?: string | undefined
  readonly seconds?: string | undefined
  readonly connections?: string | undefined
  readonly crashes?: string | undefined
  readonly follow?: string | undefined
  readonly seed?: string | undefined
  readonly sessions?: boolean | undefined
  readonly prepared?: boolean | undefined
  readonly herd?: boolean | undefined
}

/** @throws TypeError naming the option, what was expected and what came */
export function readFleetOptions(given: FleetArguments): FleetOptions {
  const options: FleetOptions = {
    processes: number('processes', given.processes, DEFAULTS.processes, 1, 1_000_000),
    leases: number('leases', given.leases, DEFAULTS.leases, 1, 10_000),
    ttlMs: number('ttl', given.ttl, DEFAULTS.ttlMs, 100, 86_400_000),
    seconds: number('seconds', given.seconds, DEFAULTS.seconds, 1, 3600),
    connections: number('connections', given.connections, DEFAULTS.connections, 1, 200),
    crashPercent: number('crashes', given.crashes, DEFAULTS.crashPercent, 0, 100),
    seed: number('seed', given.seed, DEFAULTS.seed, 0, 2 ** 32 - 1),
    following: following(given.follow),
    isBySession: given.sessions ?? DEFAULTS.isBySession,
    isPrepared: given.prepared ?? DEFAULTS.isPrepared,
    hasHerd: given.herd ?? DEFAULTS.hasHerd,
  }
  if (options.following !== undefined && options.leases > 1) {
    throw new TypeError(`Invalid --follow: expected it with --leases 1 only, got --leases ${options.leases}`)
  }
  if (options.following !== undefined && options.isBySession) {
    throw new TypeError('Invalid --follow: expected it without --sessions, got both')
  }
  return options
}

function number(name: string, text: string | undefined, otherwise: number, min: number, max: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new TypeError(`Invalid --${name}: expected a whole number from ${min} to ${max}, got ${text}`)
}

function following(text: string | undefined): Following | undefined {
  if (text === undefined || text === 'listen' || text === 'poll') return text
  throw new TypeError(`Invalid --follow: expected listen or poll, got ${text}`)
}
