/**
 * The benchmark: `npm run bench`, or `-- --quick`, `-- --long`, `-- --only uncontended,refusal`, `-- --out folder`. DATABASE_URL for a
 * server of your own, else an embedded one. A whole run takes three to four minutes on two cores, a quick one half a minute; nothing
 * else should run beside it.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openBenchDatabase } from './harness/bench-database.ts'
import { formatNumber, formatSeconds } from './harness/format.ts'
import { describeMachine, describeServer } from './harness/machine.ts'
import { writeReport } from './harness/report.ts'
import { chooseRounds, runScenario } from './harness/rounds.ts'
import { printVerdict } from './harness/terminal.ts'
import { judge, type Verdict } from './harness/verdict.ts'
import { Peers } from './peers/peers.ts'
import { absentScenarios, scenarios } from './scenarios/scenarios.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    'round-ms': { type: 'string' },
    out: { type: 'string' },
  },
})
const { quick: isQuick, long: isLong } = values
const asked = {
  rounds: wholeNumber('rounds', values.rounds),
  roundMs: wholeNumber('round-ms', values['round-ms']),
}
const chosen = chooseScenarios(values.only)
const folder = values.out ?? fileURLToPath(new URL('./results', import.meta.url))

const machine = describeMachine(isQuick)
const peers = new Peers()
const verdicts: Verdict[] = []
// A few scenarios may need none of them.
const starting = values.only === undefined ? peers.startAll() : undefined
const database = await openBenchDatabase(1300)
try {
  await starting
  const session = await database.connect()
  const server = await describeServer(session)
  await session.end()
  console.log(
    `${machine.processor}, ${machine.cores} cores, Node ${machine.node}, PostgreSQL ${database.version} (fsync ${server.fsync}), ${formatNumber(machine.syncsPerSecond)} fdatasync a second`,
  )
  for (const scenario of chosen) {
    const rounds = chooseRounds(scenario, isQuick, asked)
    const verdict = judge(await runScenario({ database, peers, isQuick, isLong }, scenario, rounds))
    printVerdict(verdict)
    verdicts.push(verdict)
  }
  const absent = values.only === undefined ? absentScenarios : []
  for (const { title, why } of absent) console.log(`\n${title}: not run: ${why}`)
  // A part of it, or a quick one, does not take the place of the results that are told.
  if (values.out !== undefined || (!isQuick && values.only === undefined)) {
    writeReport(folder, { machine, server, isQuick, verdicts, absent })
    console.log(`\nwritten to ${folder}`)
  }
} finally {
  await peers.stop()
  await database.drop()
}
console.log(`\nit took ${formatSeconds(performance.now())}`)

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  console.error(`Invalid --${name}: expected a whole number from 1 on, got ${text}`)
  process.exit(2)
}

function chooseScenarios(only: string | undefined) {
  if (only === undefined) return scenarios
  const names = only.split(',')
  const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length === 0) return scenarios.filter((scenario) => names.includes(scenario.name))
  console.error(
    `Invalid --only: expected some of ${scenarios.map(({ name }) => name).join(', ')}, got ${unknown.join(', ')}`,
  )
  process.exit(2)
}
