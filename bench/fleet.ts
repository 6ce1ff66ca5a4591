/**
 * What a fleet of processes costs the database: `npm run bench:fleet` runs those of docs/scale.md, and `-- --write` puts what it saw in there.
 * One of your own: `-- --processes 10000 --leases 1 --ttl 15000 --seconds 20 --connections 16 --crashes 3 --sessions --prepared --follow
 * listen|poll --herd --seed 1`; what is left out is as here. `--quick`: small ones. DATABASE_URL for a server of your own (as a superuser).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { replaceBlock } from './capacity/blocks.ts'
import { described } from './capacity/cost-page.ts'
import { DEFAULTS, type FleetOptions, readFleetOptions } from './capacity/fleet-options.ts'
import { describeFleet, type FleetRun, fleetTable } from './capacity/fleet-page.ts'
import { runFleet } from './capacity/run-fleet.ts'
import { openBenchDatabase } from './harness/bench-database.ts'
import { describeMachine } from './harness/machine.ts'

const { values } = parseArgs({
  options: {
    processes: { type: 'string' },
    leases: { type: 'string' },
    ttl: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string' },
    crashes: { type: 'string' },
    follow: { type: 'string' },
    seed: { type: 'string' },
    sessions: { type: 'boolean' },
    prepared: { type: 'boolean' },
    herd: { type: 'boolean' },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const { quick: isQuick, write: isWritten, ...given } = values
const fleets = chooseFleets()

const machine = describeMachine()
const server = await openBenchDatabase()
const runs: FleetRun[] = []
try {
  for (const options of fleets) {
    const database = await server.another()
    try {
      const figures = await runFleet(database, options)
      runs.push({ options, figures })
      console.log(`\n${describeFleet(options)}: ${JSON.stringify(figures, null, 1)}`)
    } finally {
      await database.drop()
    }
  }
} finally {
  await server.drop()
}
const text = `${described(machine, server.version, isQuick, 'npm run bench:fleet')}\n${fleetTable(runs)}`
console.log(`\n${text}`)
if (isWritten) {
  const path = fileURLToPath(new URL('../docs/scale.md', import.meta.url))
  writeFileSync(path, replaceBlock(readFileSync(path, 'utf8'), 'fleet', text))
  console.log(`written to ${path}`)
}

function chooseFleets(): readonly FleetOptions[] {
  try {
    if (Object.keys(given).length > 0) return [readFleetOptions(given)]
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exit(2)
  }
  const small = isQuick ? { processes: 500, ttlMs: 3000, seconds: 4, crashPercent: 20 } : {}
  const base: FleetOptions = { ...DEFAULTS, ...small }
  return [
    base,
    { ...base, isPrepared: true },
    { ...base, connections: 64 },
    { ...base, hasHerd: true },
    { ...base, following: 'listen' },
    { ...base, following: 'poll' },
    { ...base, leases: 100, isBySession: true },
    { ...base, leases: 100 },
  ]
}
