/**
 * How many instructions of the processor the server spends on a call: `npm run bench:instructions`, or `-- --only renew`, `-- --write` to
 * put the table into bench/results. A figure that is the same on a busy machine, and after each change tells whether it has paid.
 *
 * Counted by valgrind (`-- --install` gets it by apt-get, as root), in single-user mode, on an embedded server.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { formatNumber } from './harness/format.ts'
import { countedCalls, floor } from './instructions/counted-calls.ts'
import { openSingleUser } from './instructions/single-user.ts'

const { values } = parseArgs({
  options: {
    install: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
})
if (values.install) execFileSync('apt-get', ['install', '--yes', 'valgrind'], { stdio: 'inherit' })

if (!countedCalls.some(({ name }) => name.includes(values.only))) {
  console.error(
    `Invalid --only: expected a part of one of ${countedCalls.map(({ name }) => name).join(', ')}, got ${values.only}`,
  )
  process.exit(2)
}
const wanted = countedCalls.filter((call) => call === floor || call.name.includes(values.only))
const server = await openSingleUser(wanted)
if (server === undefined) {
  console.log('skipped: no valgrind (-- --install gets it, as root on Debian)')
} else {
  try {
    const rows: string[][] = []
    let floorCount = 1
    for (const call of wanted) {
      const count = (await server.countPerRun(call)) / (call.leases ?? 1)
      if (call === floor) floorCount = count
      rows.push([call.name, formatNumber(Math.round(count / 1000)), `${(count / floorCount).toFixed(1)} ×`])
      console.log(`${call.name}: ${formatNumber(Math.round(count))}`)
    }
    const head = ['', 'thousand instructions', 'of the first line']
    const table = new Table({ head, colAligns: ['left', 'right', 'right'], style: { head: [], border: [] } })
    table.push(...rows)
    console.log(`\n${table.toString()}`)
    if (values.write) {
      const path = fileURLToPath(new URL('results/instructions.md', import.meta.url))
      writeFileSync(path, page(server.version, head, rows))
      console.log(`\nwritten to ${path}`)
    }
  } finally {
    await server.close()
  }
}

function page(version: string, head: readonly string[], rows: readonly string[][]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    '# What a call costs the server, in instructions of the processor',
    '',
    `${new Date().toISOString().slice(0, 10)}, PostgreSQL ${version}: \`npm run bench:instructions -- --write\`. Counted by valgrind in single-user`,
    'mode, with what it takes to execute a prepared statement there and to print its answer: as in the first line. Without the writing to the disk,',
    'the network, and the waiting for each other, which the benchmark measures.',
    '',
    line(head),
    '|---|--:|--:|',
    ...rows.map(line),
    '',
  ].join('\n')
}
