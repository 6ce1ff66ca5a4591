/** From what one renewal costs: what very many leases cost. Plain multiplication, and it says what it leaves out. */

/** The heartbeat renews after a third of the TTL, less up to a tenth of that, by chance. */
export const BEATS_PER_TTL = 3 / 0.95

/** What one statement was seen to cost the server. */
export interface StatementCost {
  /** Leases that it keeps. */
  readonly leases: number
  /** Of its backend; not a number: it could not be seen. */
  readonly cpuMicros: number
  /** Where the pages that it touches have been written since the last checkpoint. */
  readonly walBytes: number
  /** How much more it writes for the first time after a checkpoint. */
  readonly pageImageBytes: number
}

export interface Load {
  readonly leases: number
  readonly ttlMs: number
  /** `checkpoint_timeout`: after each checkpoint, pages are written to the log as a whole, once. */
  readonly checkpointMs: number
}

export interface Projection {
  readonly statementsPerSecond: number
  readonly walMegabytesPerHour: number
  /** Of that, pages written as a whole. */
  readonly pageImageMegabytesPerHour: number
  /** Processors that are busy with it all the time: the backends, not what the disk, the standbys and vacuum take. */
  readonly cores: number
}

export function project(cost: StatementCost, load: Load): Projection {
  const statements = load.leases / cost.leases
  const statementsPerSecond = (statements * BEATS_PER_TTL * 1000) / load.ttlMs
  // A page is written as a whole no more often than it is touched.
  const imagesPerSecond = Math.min(statementsPerSecond, (statements * 1000) / load.checkpointMs)
  const pageImageMegabytesPerHour = (imagesPerSecond * cost.pageImageBytes * 3600) / 1e6
  return {
    statementsPerSecond,
    pageImageMegabytesPerHour,
    walMegabytesPerHour: (statementsPerSecond * cost.walBytes * 3600) / 1e6 + pageImageMegabytesPerHour,
    cores: (statementsPerSecond * cost.cpuMicros) / 1e6,
  }
}
