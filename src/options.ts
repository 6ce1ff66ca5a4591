import {
  LABEL_BYTES_MAX,
  requireFunction,
  requireKnownKeys,
  requireMetadata,
  requireMethods,
  requireOneOf,
  requirePriority,
  requireText,
} from './arguments.ts'
import { type Clock, systemClock } from './clock.ts'
import { InvalidArgumentError } from './errors.ts'
import type { ConnectionOptions } from './hosts.ts'
import type { Random } from './jitter.ts'
import { defaultLogger, type Logger } from './logger.ts'
import type { Metadata } from './queries.ts'
import { requireDuration, resolveTiming, type Timing, type TimingOptions } from './timing.ts'
import { type HeartbeatPlace, resolveWorker, type WorkerOptions } from './worker-heartbeat/worker-options.ts'

/** Options of a client. Durations are in milliseconds; their relations are checked when the client is made. */
export interface PgElectOptions extends TimingOptions {
  /**
   * Where the database is, such as `postgres://app@db.example:5432/app`; or where it may be, such as
   * `postgres://app@a.example,b.example/app`: then the server that can be written to is found, again after each fail-over
   * (`target_session_attrs=read-write`, the default where there are several hosts; `primary` and `any` are the others). Default: the
   * environment variables of libpq (`PGHOST`, `PGPORT`, `PGTARGETSESSIONATTRS`, …).
   */
  connectionString?: string | undefined
  /**
   * Options of a pg `Client` or `Pool`, instead of or beside a connection string; several hosts as `host: 'a,b'`, with one `port` for all
   * or as many as hosts. The client makes a connection of its own from them.
   */
  connection?: ConnectionOptions | undefined
  /**
   * Where `get()` reads, such as a standby: as `connectionString`, but any `target_session_attrs` will do (`standby`, `prefer-standby`, …). What it
   * tells may be behind, and a lease that seems held there may have changed hands: it decides nothing. While it cannot be asked, reads
   * go to the other connection. Default: none, reads go there always.
   */
  readConnectionString?: string | undefined
  /** As `connection`, for reads: instead of or beside `readConnectionString`. */
  readConnection?: ConnectionOptions | undefined
  /**
   * A connection for LISTEN alone, straight to the server, where `connectionString` leads to a connection pooler: a pooler in transaction
   * mode cannot carry notifications. As `connectionString`; what it leaves out is not taken from that one. Default: none, notifications come
   * on the connection itself, and behind a pooler not at all, see `pollIntervalMs`.
   */
  listenConnectionString?: string | undefined
  /** As `connection`, for LISTEN alone: instead of or beside `listenConnectionString`. */
  listenConnection?: ConnectionOptions | undefined
  /**
   * How often whoever watches something (an observer, a leader that may be asked to step down, a group) looks at it while no notifications
   * can be had: behind a pooler, or while the connection for LISTEN is down. From 100 to 86,400,000. Default 1,000.
   */
  pollIntervalMs?: number | undefined
  /**
   * The readable part of the name under which contenders of this process appear as holders; a random part is added, since a
   * holder must be unique to one contender. Up to 491 bytes. Default `host:pid`.
   */
  holder?: string | undefined
  /**
   * Where leases are renewed. `main`: in the main loop; one that is blocked for longer than the TTL loses them. `worker`: in a thread with
   * a connection of its own, which goes on while the main loop is blocked, for at most `hangTimeoutMs`. Then `connection` must be plain
   * data, without functions, and a second connection is open for as long as a lease is held. Default `main`.
   */
  heartbeat?: HeartbeatPlace | undefined
  /**
   * For `heartbeat: 'worker'`: how long the main loop may be silent, in milliseconds, before its leases are renewed no more. A process
   * that hangs is so succeeded after this and one TTL. From one TTL to 86,400,000. Default four TTLs.
   */
  hangTimeoutMs?: number | undefined
  /**
   * Whether one row of the database, a session, keeps all leases of this client: each beat then renews that row, however many leases there
   * are. A lease comes into it by its first renewal. Kept by themselves, as without it: leases with durations of their own (another
   * `ttlMs`, …), shares of what several may hold, registers, mutexes that wait in the `queue`, and elections with `takeover: 'connection'`. Not
   * beside `heartbeat: 'worker'`. Default false.
   */
  session?: boolean | undefined
  /** How long `close()` and `resign()` wait for work to settle. Default 10,000. */
  drainTimeoutMs?: number | undefined
  /** pino, or anything of its shape. Default: warnings and errors to standard error. */
  logger?: Logger | undefined
  /** Time. For tests. */
  clock?: Clock
  /** Randomness for jitter. For tests. */
  random?: Random
}

/** Options of one lease or election; what is left out is as in the client. */
export interface LeaseOptions extends TimingOptions {
  /** Shown to the others while the lease is held, such as the address of the leader. JSON, at most 4 KiB. */
  metadata?: Metadata
}

/** Options of an election. */
export interface ElectionOptions extends LeaseOptions {
  /**
   * Place in line: larger ones go first, among equals who came first. A leader is not deposed by a candidate of a higher priority.
   * Null: is not eligible, and only observes. Default 0.
   */
  priority?: number | null
  /**
   * What a successor waits for after a crash. `expiry`: the leader's TTL. `connection`: the end of the leader's connection, milliseconds
   * after a crash; at the price that a leader that is merely cut off is succeeded while it works on, until it notices. Only for work
   * that is all guarded. Each candidate and leader then needs a connection of its own, not behind a pooler. Default `expiry`.
   */
  takeover?: Takeover
}

export type Takeover = 'expiry' | 'connection'

/** Election options with nothing left open. */
export interface ResolvedElectionOptions {
  readonly timing: Timing
  readonly metadata: Metadata | undefined
  readonly priority: number | null
  readonly takeover: Takeover
}

const TIMING_KEYS = [
  'ttlMs',
  'renewIntervalMs',
  'safetyMarginMs',
  'retryIntervalMs',
  'queryTimeoutMs',
] as const
const CLIENT_KEYS = [
  'connectionString',
  'connection',
  'readConnectionString',
  'readConnection',
  'listenConnectionString',
  'listenConnection',
  'pollIntervalMs',
  'holder',
  'heartbeat',
  'hangTimeoutMs',
  'session',
  'drainTimeoutMs',
  'logger',
  'clock',
  'random',
  ...TIMING_KEYS,
]
const DRAIN_TIMEOUT_MS_DEFAULT = 10_000
const POLL_INTERVAL_MS_DEFAULT = 1000
const POLL_INTERVAL_MS_MIN = 100
const DAY_MS = 24 * 60 * 60 * 1000

/** Client options with nothing left open. */
export interface ResolvedOptions {
  readonly connection: ConnectionOptions
  /** Undefined: there is no other one. */
  readonly readConnection: ConnectionOptions | undefined
  /** Undefined: there is no other one. */
  readonly listenConnection: ConnectionOptions | undefined
  readonly pollIntervalMs: number
  readonly holder: string | undefined
  /** Undefined: the main loop beats. */
  readonly worker: WorkerOptions | undefined
  /** Whether a session keeps the leases. */
  readonly session: boolean
  readonly drainTimeoutMs: number
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly timing: Timing
}

/** @throws InvalidArgumentError naming the option, what was expected and what came. */
export function resolveOptions(options: PgElectOptions): ResolvedOptions {
  requireKnownKeys('the options of PgElect', options, CLIENT_KEYS)
  const connection = toConfig('connection', options.connection, options.connectionString)
  const readConnection = toConfig('readConnection', options.readConnection, options.readConnectionString)
  const listenConnection = toConfig(
    'listenConnection',
    options.listenConnection,
    options.listenConnectionString,
  )
  if (options.holder !== undefined) requireText('holder', options.holder, LABEL_BYTES_MAX)
  if (options.logger !== undefined)
    requireMethods('logger', options.logger, ['debug', 'info', 'warn', 'error'])
  if (options.clock !== undefined) requireMethods('clock', options.clock, ['now', 'setTimer'])
  if (options.random !== undefined) requireFunction('random', options.random)
  const drainTimeoutMs = options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS_DEFAULT
  requireDuration('drainTimeoutMs', drainTimeoutMs, 0, DAY_MS)
  const pollIntervalMs = options.pollIntervalMs ?? POLL_INTERVAL_MS_DEFAULT
  requireDuration('pollIntervalMs', pollIntervalMs, POLL_INTERVAL_MS_MIN, DAY_MS)
  const timing = resolveTiming(options)
  return {
    connection: connection ?? {},
    readConnection,
    listenConnection,
    pollIntervalMs,
    holder: options.holder,
    worker: resolveWorker(options, connection ?? {}, timing),
    session: resolveSession(options),
    drainTimeoutMs,
    logger: options.logger ?? defaultLogger(),
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    timing,
  }
}

/** @throws InvalidArgumentError naming the option, what was expected and what came. */
function resolveSession({ session = false, heartbeat }: PgElectOptions): boolean {
  if (typeof session !== 'boolean') {
    throw new InvalidArgumentError(`Invalid session: expected true or false, got ${typeof session}`)
  }
  if (!session || heartbeat !== 'worker') return session
  throw new InvalidArgumentError(
    "Invalid session: expected it beside heartbeat: 'main' only, got heartbeat: 'worker', whose thread renews each lease",
  )
}

/** @param option - its name; that of its connection string ends in `String` */
function toConfig(
  option: string,
  config: ConnectionOptions | undefined,
  connectionString: string | undefined,
): ConnectionOptions | undefined {
  if (connectionString !== undefined && typeof connectionString !== 'string') {
    throw new InvalidArgumentError(`Invalid ${option}String: expected text, got ${typeof connectionString}`)
  }
  if (config !== undefined && (typeof config !== 'object' || config === null)) {
    throw new InvalidArgumentError(
      `Invalid ${option}: expected the options of a pg Client, got ${typeof config}`,
    )
  }
  if (connectionString === undefined) return config
  return { ...config, connectionString }
}

/**
 * The durations of one lease: its own, else those of the client. A TTL of its own derives the others anew.
 *
 * @param alsoKnown - further option keys that the caller takes
 * @throws InvalidArgumentError naming the option, what was expected and what came.
 */
export function resolveLeaseOptions(
  options: LeaseOptions,
  client: Timing,
  alsoKnown: readonly string[] = [],
): { timing: Timing; metadata: Metadata | undefined } {
  if (isEmpty(options)) return { timing: client, metadata: undefined }
  requireKnownKeys('the options of a lease', options, ['metadata', ...TIMING_KEYS, ...alsoKnown])
  requireMetadata(options.metadata)
  const given = Object.fromEntries(
    TIMING_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]),
  )
  const base = options.ttlMs === undefined ? client : {}
  return { timing: resolveTiming({ ...base, ...given }), metadata: options.metadata }
}

/** @throws InvalidArgumentError naming the option, what was expected and what came. */
export function resolveElectionOptions(options: ElectionOptions, client: Timing): ResolvedElectionOptions {
  const resolved = resolveLeaseOptions(options, client, ['priority', 'takeover'])
  const { priority = 0, takeover = 'expiry' } = options
  if (priority !== null) requirePriority(priority)
  requireOneOf('takeover', takeover, ['expiry', 'connection'])
  return { ...resolved, priority, takeover }
}

/** The usual case, in which there is nothing to check. */
function isEmpty(options: unknown): boolean {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return false
  for (const _ in options) return false
  return true
}
