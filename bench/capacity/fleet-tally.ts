/** What is seen of a simulated fleet, and whether the server keeps up with it. */
import { quantile } from '../harness/statistics.ts'
import type { FleetOptions } from './fleet-options.ts'
import { BEATS_PER_TTL } from './projection.ts'

/** A request of a process, in milliseconds of one clock. */
export interface Request {
  /** When the process sent it. */
  readonly dueMs: number
  /** When a connection was free for it. */
  readonly begunMs: number
  readonly answeredMs: number
}

export interface Counts {
  /** Leases that the server said were lost, though their process had not crashed. */
  lost: number
  /** Leases whose renewal was answered after their process had stopped to trust them. */
  lapsed: number
  /** Beats that took longer than a client waits before it gives up its connection. */
  timedOut: number
  /** Statements that failed. */
  failed: number
  crashes: number
}

export class FleetTally {
  readonly counts: Counts = { lost: 0, lapsed: 0, timedOut: 0, failed: 0, crashes: 0 }
  readonly beatMs: number[] = []
  readonly waitMs: number[] = []
  /** From the expiry of a crashed process's leases to the answer that granted them to another. */
  readonly takeoverMs: number[] = []
  isCounting = false

  beat({ dueMs, begunMs, answeredMs }: Request, queryTimeoutMs: number): void {
    if (!this.isCounting) return
    this.beatMs.push(answeredMs - dueMs)
    this.waitMs.push(begunMs - dueMs)
    if (answeredMs - dueMs > queryTimeoutMs) this.counts.timedOut += 1
  }

  count(what: keyof Counts, many = 1): void {
    if (this.isCounting) this.counts[what] += many
  }
}

/** How often those that wait look, where they are not told: as the client does behind a pooler. */
export function lookIntervalMs({ ttlMs }: Pick<FleetOptions, 'ttlMs'>): number {
  return Math.min(500, ttlMs / 4)
}

/** Statements a second that such a fleet asks for, without crashes. */
export function askedPerSecond({ processes, ttlMs, following }: FleetOptions): number {
  const beats = (processes * BEATS_PER_TTL * 1000) / ttlMs
  const places = following === undefined ? 0 : beats
  const looks = following === 'poll' ? (processes * 1000) / lookIntervalMs({ ttlMs }) : 0
  return beats + places + looks
}

export interface FleetFigures {
  readonly askedPerSecond: number
  readonly reachedPerSecond: number
  /** Leases renewed a second, each or by their session. */
  readonly leasesPerSecond: number
  readonly beatP50Ms: number
  readonly beatP99Ms: number
  readonly waitP99Ms: number
  readonly takeovers: number
  readonly takeoverP50Ms: number
  readonly takeoverP99Ms: number
  readonly walBytesPerSecond: number
  readonly pageImages: number
  /** Processors busy: all processes of the server, and the simulation itself. Not a number: could not be seen. */
  readonly serverCores: number
  readonly simulatorCores: number
  readonly hotPercent: number
  /** Statements that waited for a connection at the end. */
  readonly backlog: number
  readonly counts: Readonly<Counts>
}

export function quantilesOf(tally: FleetTally) {
  return {
    beatP50Ms: quantile(tally.beatMs, 0.5),
    beatP99Ms: quantile(tally.beatMs, 0.99),
    waitP99Ms: quantile(tally.waitMs, 0.99),
    takeovers: tally.takeoverMs.length,
    takeoverP50Ms: quantile(tally.takeoverMs, 0.5),
    takeoverP99Ms: quantile(tally.takeoverMs, 0.99),
  }
}

/** Why the server does not keep up; empty: it does. */
export function shortcomings(figures: FleetFigures): string[] {
  const { counts, reachedPerSecond, askedPerSecond: asked, simulatorCores } = figures
  const found: string[] = []
  if (counts.lost > 0) found.push(`${counts.lost} leases lost`)
  if (counts.lapsed > 0) found.push(`${counts.lapsed} leases renewed past their deadline`)
  if (counts.timedOut > 0) found.push(`${counts.timedOut} beats given up`)
  if (counts.failed > 0) found.push(`${counts.failed} statements failed`)
  // Those that have crashed do not ask, and a beat that takes longer puts off the next one: that much is not the server's.
  if (reachedPerSecond < 0.9 * asked) {
    found.push(`${Math.round((100 * reachedPerSecond) / asked)} % of the statements`)
  }
  if (found.length > 0 && simulatorCores > 0.85) found.push('the simulation itself was at its limit')
  return found
}
