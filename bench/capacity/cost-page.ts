/** What `npm run bench:scale` shows: the costs, and from them what very many leases cost. */
import { formatNumber } from '../harness/format.ts'
import type { Machine } from '../harness/machine.ts'
import { markdownTable } from './blocks.ts'
import { type Load, project, type StatementCost } from './projection.ts'
import type { RenewalCost, RenewalCosts, Sizes } from './renewal-costs.ts'

const whole = (value: number) => value.toLocaleString('en-US')

/** What all figures of one run depend on. */
export function described(machine: Machine, version: string, isQuick: boolean, command: string): string {
  const quick = isQuick ? ' **A quick run: its figures say little.**' : ''
  return `\`${command}\`, ${machine.date}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system.split(' ')[0]}; PostgreSQL ${version}, fsync on, ${formatNumber(machine.syncsPerSecond)} fdatasync a second; the clients on the same machine.${quick}\n`
}

export function costTable({ costs }: RenewalCosts): string {
  return markdownTable(
    [
      'one statement',
      'ms',
      'CPU µs',
      'CPU µs a lease',
      'WAL bytes',
      'WAL bytes a lease',
      'more after a checkpoint, bytes a lease',
    ],
    costs.map((cost) => [
      nameOf(cost),
      formatNumber(cost.msEach),
      formatNumber(cost.cpuMicros),
      formatNumber(cost.cpuMicros / cost.leases),
      formatNumber(cost.walBytes),
      formatNumber(cost.walBytes / cost.leases),
      formatNumber(cost.pageImageBytes / cost.leases),
    ]),
  )
}

function nameOf({ how, leases }: { how: 'batch' | 'session'; leases: number }): string {
  if (how === 'session') return `\`renew_session\`, ${whole(leases)} leases`
  return `\`renew_leases\`, ${whole(leases)}`
}

export function sizeTable({ fresh, renewed, leasesInTable }: RenewalCosts): string {
  const row = (name: string, { tableBytes, indexBytes }: Sizes) => [
    name,
    formatNumber(tableBytes),
    formatNumber(indexBytes),
    formatNumber(tableBytes + indexBytes),
  ]
  return markdownTable(
    ['bytes a lease on the disk', 'table', 'indexes', 'both'],
    [
      row(`${whole(leasesInTable)} written at once`, fresh),
      row('after they were renewed many times', renewed),
    ],
  )
}

const COUNTS = [10_000, 100_000, 1_000_000]

export function projectionTable(costs: readonly RenewalCost[], load: Omit<Load, 'leases'>): string {
  const rows = COUNTS.flatMap((leases) =>
    costs
      // One process for all is no fleet.
      .filter((cost) => cost.leases < leases)
      .map((cost) => projectionRow(cost, { ...load, leases })),
  )
  return markdownTable(
    ['leases', 'kept by', 'processes', 'statements/s', 'WAL MB/h', 'of that, whole pages', 'CPU cores'],
    rows,
  )
}

function projectionRow(cost: StatementCost & Pick<RenewalCost, 'how'>, load: Load): readonly string[] {
  const { statementsPerSecond, walMegabytesPerHour, pageImageMegabytesPerHour, cores } = project(cost, load)
  return [
    whole(load.leases),
    nameOf(cost),
    whole(load.leases / cost.leases),
    formatNumber(statementsPerSecond),
    formatNumber(walMegabytesPerHour),
    formatNumber(pageImageMegabytesPerHour),
    formatNumber(cores),
  ]
}
