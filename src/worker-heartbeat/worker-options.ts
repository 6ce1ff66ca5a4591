/** The options of a client whose heartbeat has a thread of its own. */
import { requireOneOf } from '../arguments.ts'
import { InvalidArgumentError } from '../errors.ts'
import type { ConnectionOptions } from '../hosts.ts'
import type { Timing } from '../timing.ts'

/** Where the heartbeat runs. */
export type HeartbeatPlace = 'main' | 'worker'

/** What is known of the thread of the heartbeat. */
export interface WorkerOptions {
  readonly hangTimeoutMs: number
  /** Where to connect: a copy that can be passed to a thread. */
  readonly connection: ConnectionOptions
}

interface GivenOptions {
  heartbeat?: HeartbeatPlace | undefined
  hangTimeoutMs?: number | undefined
  clock?: unknown
  random?: unknown
}

/** In TTLs. */
const HANG_TIMEOUT_DEFAULT = 4
const HANG_TIMEOUT_MS_MAX = 24 * 60 * 60 * 1000
/** Deeper than any options of a driver; what refers to itself has no end. */
const DEPTH_MAX = 8

/**
 * @returns undefined if the main loop is to beat.
 * @throws InvalidArgumentError naming the option, what was expected and what came.
 */
export function resolveWorker(
  options: GivenOptions,
  connection: ConnectionOptions,
  { ttlMs }: Timing,
): WorkerOptions | undefined {
  const { heartbeat = 'main', hangTimeoutMs } = options
  requireOneOf('heartbeat', heartbeat, ['main', 'worker'])
  if (heartbeat === 'main') {
    if (hangTimeoutMs === undefined) return undefined
    throw new InvalidArgumentError("Invalid hangTimeoutMs: expected it beside heartbeat: 'worker' only")
  }
  for (const name of ['clock', 'random'] as const) {
    if (options[name] === undefined) continue
    throw new InvalidArgumentError(
      `Invalid ${name}: expected none beside heartbeat: 'worker', as it cannot be passed to a thread`,
    )
  }
  return {
    hangTimeoutMs: resolveHangTimeout(hangTimeoutMs, ttlMs),
    connection: portable('connection', connection) as ConnectionOptions,
  }
}

function resolveHangTimeout(given: unknown, ttlMs: number): number {
  if (given === undefined) return Math.min(HANG_TIMEOUT_MS_MAX, HANG_TIMEOUT_DEFAULT * ttlMs)
  if (typeof given === 'number' && given >= ttlMs && given <= HANG_TIMEOUT_MS_MAX) return given
  throw new InvalidArgumentError(
    `Invalid hangTimeoutMs: expected milliseconds from ttlMs (${ttlMs}) to ${HANG_TIMEOUT_MS_MAX}, got ${typeof given === 'number' ? given : typeof given}`,
  )
}

/**
 * A copy of plain data, with what the driver has made invisible: it hides keys and passwords, and what is hidden would not be passed
 * to a thread.
 *
 * @throws InvalidArgumentError naming the part that is none: never its value, which may be secret.
 */
function portable(path: string, value: unknown, depth = 0): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') throw cannotCross(path, `a ${typeof value}`)
  if (depth > DEPTH_MAX) throw cannotCross(path, 'data that is nested too deeply')
  if (typeof value !== 'object' || value === null) return value
  if (ArrayBuffer.isView(value)) return value
  if (Array.isArray(value))
    return value.map((element, place) => portable(`${path}[${place}]`, element, depth + 1))
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw cannotCross(path, 'an object of a class')
  }
  const copy: Record<string, unknown> = {}
  for (const key of Object.getOwnPropertyNames(value)) {
    // How types are read is the package's own affair.
    if (path === 'connection' && key === 'types') continue
    copy[key] = portable(`${path}.${key}`, (value as Record<string, unknown>)[key], depth + 1)
  }
  return copy
}

function cannotCross(path: string, what: string): InvalidArgumentError {
  return new InvalidArgumentError(
    `Invalid ${path}: expected plain data beside heartbeat: 'worker', as it is passed to a thread, got ${what}`,
  )
}
