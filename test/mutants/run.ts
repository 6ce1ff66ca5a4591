/**
 * Makes one-line faults in a copy of the project, one at a time, and runs the tests that are to notice each:
 *
 *     npm run test:mutants                            all of them
 *     npm run test:mutants -- --quick                 one or two of each area
 *     ONLY=sql-guard,late npm run test:mutants        those with one of these words in `area/name` or in their file
 *
 * Ends with 1 if a fault was noticed by no test, or could not be tried. One whose tests are skipped here, for want of a tool, is skipped.
 */
import { fileURLToPath } from 'node:url'
import { providePostgres, testSettings } from '../support/postgres/provide.ts'
import type { PostgresServer } from '../support/postgres/server.ts'
import { mutants } from './list.ts'
import type { ListedMutant } from './mutant.ts'
import { type FileEnd, judge, type RunEnd, runTests, type Verdict } from './trial.ts'
import { openWorkshop, type Workshop } from './workshop.ts'

/** A copy of the project and a server: what one trial needs, and another must not share. */
interface Lane {
  readonly workshop: Workshop
  readonly server: PostgresServer
}

interface Row extends Verdict {
  readonly mutant: ListedMutant
  readonly seconds: number
}

const LANES = 2
const TRIAL_LIMIT_MS = 180_000
const SOUND_LIMIT_MS = 900_000
const SKIPPED = 'its tests are skipped here, as something that they need is not installed'

const root = fileURLToPath(new URL('../..', import.meta.url))
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)))
}
process.exitCode = await main(chosen()).catch((error: unknown) => {
  if (!stop.signal.aborted) throw error
  console.log(`\n${stop.signal.reason.message}`)
  return 1
})

async function main(wanted: readonly ListedMutant[]): Promise<number> {
  const startedMs = performance.now()
  console.log(`${wanted.length} of ${mutants.length} mutants`)
  if (wanted.length === 0) return 1
  const lanes = await openLanes(Math.min(LANES, wanted.length))
  try {
    console.log('Their tests, without a fault:')
    const sound = await trySound(lanes, wanted)
    const rows = await tryAll(lanes, wanted, sound)
    return conclude(rows, (performance.now() - startedMs) / 1000)
  } finally {
    await close(lanes)
  }
}

/** Those that the arguments and ONLY ask for. */
function chosen(): ListedMutant[] {
  const words = (process.env.ONLY ?? '').split(',').filter((word) => word !== '')
  return mutants.filter(
    ({ id, file, isQuick }) =>
      (!process.argv.includes('--quick') || isQuick === true) &&
      (words.length === 0 || words.some((word) => id.includes(word) || file.includes(word))),
  )
}

async function openLanes(count: number): Promise<Lane[]> {
  const lanes: Lane[] = []
  try {
    while (lanes.length < count) {
      const workshop = await openWorkshop(root)
      try {
        // Nothing that is written here has to survive the machine.
        const settings = { ...testSettings, fsync: 'off' }
        lanes.push({ workshop, server: await providePostgres({ settings }) })
      } catch (error) {
        await workshop[Symbol.asyncDispose]()
        throw error
      }
    }
    return lanes
  } catch (error) {
    await close(lanes)
    throw error
  }
}

async function close(lanes: readonly Lane[]): Promise<void> {
  for (const { workshop, server } of lanes) {
    await server.stop().finally(() => workshop[Symbol.asyncDispose]())
  }
}

/** Does all tasks, as many at once as there are lanes. */
async function shareOut<Task>(
  lanes: readonly Lane[],
  tasks: readonly Task[],
  work: (lane: Lane, task: Task) => Promise<void>,
): Promise<void> {
  const queue = [...tasks]
  await Promise.all(
    lanes.map(async (lane) => {
      for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
        stop.signal.throwIfAborted()
        await work(lane, task)
      }
    }),
  )
}

function test(lane: Lane, tests: readonly string[], limitMs: number, bail: boolean): Promise<RunEnd> {
  const { workshop, server } = lane
  const { connectionString: databaseUrl } = server
  return runTests({ folder: workshop.folder, tests, databaseUrl, limitMs, bail, signal: stop.signal })
}

/** Runs all tests that matter on the sound project. @returns what is wrong with each file; undefined: nothing. */
async function trySound(
  lanes: readonly Lane[],
  wanted: readonly ListedMutant[],
): Promise<Map<string, string | undefined>> {
  const files = [...new Set(wanted.flatMap(({ tests }) => tests))].sort()
  const faults = new Map<string, string | undefined>(files.map((file) => [file, 'it was not run']))
  const run = async (some: readonly string[]) => {
    const parts = lanes.map((_, place) => some.filter((_, index) => index % lanes.length === place))
    await shareOut(lanes, parts, async (lane, part) => {
      if (part.length === 0) return
      const end = await test(lane, part, SOUND_LIMIT_MS, false)
      if (end.files === null) console.log(end.output)
      for (const file of end.files ?? []) faults.set(file.file, faultOf(file))
    })
  }
  await run(files)
  // On a busy machine one may have come too late. None of its mutants could be tried then: it gets a second chance.
  await run(files.filter((file) => faults.get(file) !== undefined && faults.get(file) !== SKIPPED))
  for (const [file, fault] of faults) console.log(`  ${fault === undefined ? 'ok' : 'FAILS'}  ${file}`)
  return faults
}

function faultOf({ file, tests, fault }: FileEnd): string | undefined {
  const failed = tests.find(({ status }) => status === 'failed')
  if (failed !== undefined) {
    console.log(`${file}: ${failed.name}\n${failed.messages.join('\n').slice(0, 1_000)}`)
    return `fails without a fault, too: ${failed.name}`
  }
  if (fault !== '') return fault
  return tests.some(({ status }) => status === 'passed') ? undefined : SKIPPED
}

async function tryAll(
  lanes: readonly Lane[],
  wanted: readonly ListedMutant[],
  sound: ReadonlyMap<string, string | undefined>,
): Promise<Row[]> {
  const rows: Row[] = []
  const width = Math.max(...wanted.map(({ id }) => id.length))
  await shareOut(lanes, wanted, async (lane, mutant) => {
    const startedMs = performance.now()
    const { outcome, words } = await tryOne(lane, mutant, sound)
    stop.signal.throwIfAborted()
    const seconds = (performance.now() - startedMs) / 1000
    rows.push({ mutant, outcome, words, seconds })
    const columns = [outcome.padEnd(9), mutant.id.padEnd(width), `${seconds.toFixed(1)} s`.padStart(7)]
    console.log(`${columns.join('  ')}  ${words}`)
  })
  return rows
}

async function tryOne(
  lane: Lane,
  mutant: ListedMutant,
  sound: ReadonlyMap<string, string | undefined>,
): Promise<Verdict> {
  const unsound = mutant.tests.map((file) => sound.get(file)).find((fault) => fault !== undefined)
  if (unsound === SKIPPED) return { outcome: 'skipped', words: unsound }
  if (unsound !== undefined) return { outcome: 'not tried', words: unsound }
  try {
    return await lane.workshop.withFault(mutant, async () =>
      judge(await test(lane, mutant.tests, TRIAL_LIMIT_MS, true)),
    )
  } catch (error) {
    return { outcome: 'BROKE', words: error instanceof Error ? error.message : String(error) }
  }
}

/** @returns the exit code. */
function conclude(rows: readonly Row[], seconds: number): number {
  const others = rows.filter(({ outcome }) => outcome !== 'caught' && outcome !== 'skipped')
  for (const { mutant, outcome, words } of others) {
    const { id, file, from, to, costs, tests } = mutant
    console.log(`\n${outcome}: ${id} in ${file}: ${words}`)
    console.log(`- ${from}\n+ ${to}\nIt would cost: ${costs}\nTo be noticed by: ${tests.join(', ')}`)
  }
  const caught = rows.filter(({ outcome }) => outcome === 'caught').length
  console.log(
    `\n${caught} of ${rows.length} mutants were caught, ${rows.length - caught - others.length} skipped, in ${seconds.toFixed(0)} s`,
  )
  return others.length === 0 ? 0 : 1
}
