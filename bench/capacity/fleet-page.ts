/** What `npm run bench:fleet` shows. */
import { formatNumber } from '../harness/format.ts'
import { markdownTable } from './blocks.ts'
import { DEFAULTS, type FleetOptions } from './fleet-options.ts'
import { type FleetFigures, shortcomings } from './fleet-tally.ts'

export interface FleetRun {
  readonly options: FleetOptions
  readonly figures: FleetFigures
}

export function describeFleet(options: FleetOptions): string {
  const { processes, leases, isBySession, ttlMs, following, hasHerd, isPrepared, connections } = options
  const parts = [
    `${processes.toLocaleString('en-US')} × ${leases.toLocaleString('en-US')} by ${isBySession ? 'session' : '`renew_leases`'}`,
    ...(ttlMs === DEFAULTS.ttlMs ? [] : [`TTL ${formatNumber(ttlMs / 1000)} s`]),
    ...(following === undefined ? [] : [`and as many candidates that ${following}`]),
    ...(hasHerd ? ['all at once in the middle'] : []),
    ...(connections === DEFAULTS.connections ? [] : [`${connections} connections`]),
    ...(isPrepared ? ['prepared'] : []),
  ]
  return parts.join(', ')
}

export function fleetTable(runs: readonly FleetRun[]): string {
  return markdownTable(
    [
      'fleet',
      'statements/s asked',
      'reached',
      'beat ms, p50',
      'p99',
      'of that, waited, p99',
      'taken over',
      'ms after the expiry, p50',
      'p99',
      'WAL MB/h',
      'whole pages in it',
      'server cores',
      'simulation cores',
      'keeps up',
    ],
    runs.map(({ options, figures }) => {
      const missing = shortcomings(figures)
      return [
        describeFleet(options),
        formatNumber(figures.askedPerSecond),
        formatNumber(figures.reachedPerSecond),
        formatNumber(figures.beatP50Ms),
        formatNumber(figures.beatP99Ms),
        formatNumber(figures.waitP99Ms),
        `${formatNumber(figures.takeovers)} of ${formatNumber(figures.counts.crashes)}`,
        formatNumber(figures.takeoverP50Ms),
        formatNumber(figures.takeoverP99Ms),
        formatNumber((figures.walBytesPerSecond * 3600) / 1e6),
        formatNumber(figures.pageImages),
        formatNumber(figures.serverCores),
        formatNumber(figures.simulatorCores),
        missing.length === 0 ? 'yes' : `no: ${missing.join(', ')}`,
      ]
    }),
  )
}
