/**
 * What a renewal costs the server, and from that what very many leases cost: `npm run bench:scale`, or `-- --quick`, `-- --write` to put the
 * tables into docs/scale.md. DATABASE_URL for a server of your own (as a superuser), else an embedded one.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { replaceBlock } from './capacity/blocks.ts'
import { costTable, described, projectionTable, sizeTable } from './capacity/cost-page.ts'
import { measureHeldBack } from './capacity/held-back.ts'
import { measureRenewals } from './capacity/renewal-costs.ts'
import { openBenchDatabase, run } from './harness/bench-database.ts'
import { formatNumber } from './harness/format.ts'
import { describeMachine } from './harness/machine.ts'

const TTL_MS = 15_000

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
})
const isQuick = values.quick

const machine = describeMachine()
const database = await openBenchDatabase()
try {
  const measured = await measureRenewals(
    database,
    isQuick ? { leases: 20_000, rounds: 1, part: 0.1 } : { leases: 100_000, rounds: 3, part: 1 },
  )
  const heldBack = await measureHeldBack(database, isQuick ? 20 : 100)
  const checkpoint = await run(
    database.connectionString,
    "SELECT 1000 * extract(epoch FROM current_setting('checkpoint_timeout')::interval)",
  )
  const load = { ttlMs: TTL_MS, checkpointMs: Number(checkpoint) }
  const about = described(machine, database.version, isQuick, 'npm run bench:scale')
  const images = measured.costs.reduce((sum, { pageImages }) => sum + pageImages, 0)
  const memory = Number.isNaN(measured.backendBytes)
    ? 'The memory of a backend could not be seen.'
    : `A backend that has renewed leases and listens has ${formatNumber(measured.backendBytes / 2 ** 20)} MiB of memory to itself.`
  const blocks: Readonly<Record<string, string>> = {
    costs: `${about}\n${costTable(measured)}\nWhole pages written to the log during the rounds that count: ${formatNumber(images)}.`,
    sizes: `${sizeTable(measured)}\n${formatNumber(measured.hotPercent)} % of these renewals stayed on their page (HOT). ${memory}`,
    projection: projectionTable(measured.costs, load),
    'held back': heldBack,
  }
  if (measured.costs.some(({ cpuMicros }) => Number.isNaN(cpuMicros))) {
    console.log('CPU: not available: it is read from /proc of a server on this machine')
  }
  for (const text of Object.values(blocks)) console.log(`\n${text}`)
  if (values.write) {
    const path = fileURLToPath(new URL('../docs/scale.md', import.meta.url))
    const page = Object.entries(blocks).reduce(
      (before, [name, text]) => replaceBlock(before, name, text),
      readFileSync(path, 'utf8'),
    )
    writeFileSync(path, page)
    console.log(`\nwritten to ${path}`)
  }
} finally {
  await database.drop()
}
