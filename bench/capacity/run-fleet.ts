/** One run of a simulated fleet on a database of its own. */
import { setTimeout as passing } from 'node:timers/promises'
import { resolveTiming } from '../../src/timing.ts'
import { seededRandom } from '../../test/unit/support/random.ts'
import type { BenchDatabase } from '../harness/bench-database.ts'
import { walPosition } from '../harness/wal.ts'
import { Connections } from './connections.ts'
import { hotPercent, pageImages } from './costs.ts'
import { Fleet } from './fleet.ts'
import type { FleetOptions } from './fleet-options.ts'
import { FleetStatements } from './fleet-statements.ts'
import { askedPerSecond, type FleetFigures, FleetTally, quantilesOf } from './fleet-tally.ts'
import { populate } from './population.ts'
import { openServerCpu } from './server-cpu.ts'

const LISTENERS = 100
/** The table is filled before the run, and its leases must last until they are renewed first. */
const ROWS_PER_MS = 20
const GATHERED_PER_MS = 1

/**
 * What comes before the second beat of all is not counted: from then on connections are warm, and each page has been written since the last
 * checkpoint.
 *
 * @throws Error if the table could not be filled in time
 */
export async function runFleet(database: BenchDatabase, options: FleetOptions): Promise<FleetFigures> {
  const timing = resolveTiming({ ttlMs: options.ttlMs })
  const observer = await database.connect()
  const sessions = await Promise.all(Array.from({ length: options.connections }, () => database.connect()))
  const follows = options.following !== undefined
  const listeners = await Promise.all(
    Array.from({ length: options.following === 'listen' ? LISTENERS : 0 }, () => database.connect()),
  )
  const connections = new Connections(sessions)
  const statements = new FleetStatements(options)
  const tally = new FleetTally()
  const random = seededRandom(options.seed)
  const fillMs =
    5000 +
    (options.processes * options.leases) / ROWS_PER_MS +
    (follows ? options.processes / GATHERED_PER_MS : 0)
  const heldUntilMs = performance.now() + options.ttlMs + fillMs
  const population = await populate(observer, { ...options, heldForMs: options.ttlMs + fillMs })
  const fleet = new Fleet({
    options,
    timing,
    population,
    connections,
    statements,
    tally,
    random,
    heldUntilMs,
  })
  try {
    if (follows) await fleet.gather(listeners)
    if (performance.now() > heldUntilMs - timing.renewIntervalMs * 2) {
      throw new Error(`The table took longer to fill than expected: over ${Math.round(fillMs)} ms`)
    }
    const cpu = await openServerCpu(observer)
    fleet.start()
    // A renewal never shortens what was promised: until then, whoever crashed would be waited for longer than a TTL.
    const asPromisedMs = Math.max(performance.now(), heldUntilMs - options.ttlMs)
    await passing(asPromisedMs + timing.renewIntervalMs - performance.now())
    const spanMs = options.seconds * 1000
    fleet.crash(Math.round((options.processes * options.crashPercent * options.seconds) / 6000), spanMs)
    tally.isCounting = true
    const before = {
      wal: await walPosition(observer),
      images: await pageImages(observer),
      serverMs: cpu?.serverMs() ?? Number.NaN,
      ownMicros: process.cpuUsage(),
      statements: statements.count,
      atMs: performance.now(),
    }
    await passing(spanMs / 2)
    if (options.hasHerd) fleet.herd()
    await passing(spanMs / 2)
    tally.isCounting = false
    const tookMs = performance.now() - before.atMs
    const own = process.cpuUsage(before.ownMicros)
    const serverMs = (cpu?.serverMs() ?? Number.NaN) - before.serverMs
    const answered = statements.count - before.statements
    const backlog = connections.waiting
    fleet.stop()
    const wal = (await walPosition(observer)) - before.wal
    await connections.idle()
    return {
      ...quantilesOf(tally),
      askedPerSecond: askedPerSecond(options),
      reachedPerSecond: (answered * 1000) / tookMs,
      leasesPerSecond: (tally.beatMs.length * options.leases * 1000) / tookMs,
      walBytesPerSecond: (wal * 1000) / tookMs,
      pageImages: (await pageImages(observer)) - before.images,
      serverCores: serverMs / tookMs,
      simulatorCores: (own.user + own.system) / 1000 / tookMs,
      hotPercent: await hotPercent(observer),
      backlog,
      counts: tally.counts,
    }
  } finally {
    fleet.stop()
    await connections.idle()
    await Promise.all([observer, ...sessions, ...listeners].map((session) => session.end()))
  }
}
