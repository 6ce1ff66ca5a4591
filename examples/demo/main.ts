/** The demo: `npm run demo`, or `npm run demo -- --help`. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { PgElect } from '../../src/index.ts'
import { openDatabase } from '../support/database.ts'
import { Interrupted } from '../support/interruption.ts'
import { plainLogger } from '../support/plain-logger.ts'
import { duration } from '../support/screen.ts'
import { openStage, optionsOrExit } from '../support/stage.ts'
import { Candidates } from './candidates.ts'
import { HELP, readOptions } from './options.ts'
import { nameOf, Picture } from './picture.ts'
import { type Cast, conclude, crash, type Finding, goodbye, look, nextReign } from './story.ts'
import { WorkLog } from './work-log.ts'

const TTL_MS = 3_000
const LOOK_MS = 2_500

const options = optionsOrExit(readOptions, HELP)
const { screen, ending } = openStage()
let isOver = false

try {
  const findings = await run(options.keep)
  if (!options.keep) summarise(findings)
  process.exitCode = findings.every(({ isSo }) => isSo) ? 0 : 1
} catch (error) {
  // What a wait throws when it is ended is less telling than what ended it.
  const reason = ending.signal.aborted ? ending.signal.reason : error
  process.exitCode = reason instanceof Interrupted ? reason.exitCode : 1
  const text = reason instanceof Error ? reason.message : String(reason)
  screen.line(screen.style('red', `The demo ${reason instanceof Interrupted ? 'was' : 'failed:'} ${text}`))
}

/** The whole story. Whatever it starts has ended when it is over, also if it throws. */
async function run(keep: boolean): Promise<Finding[]> {
  screen.line('pg-elect: three processes, one of them leads')
  screen.line()

  await using database = await openDatabase(screen.event)
  ending.signal.throwIfAborted()
  screen.event(`installing schema elect in ${database.description}`)
  const { connectionString } = database
  await using elect = new PgElect({ connectionString, logger: plainLogger(trouble) })
  await elect.install()
  ending.signal.throwIfAborted()

  // A name of this run's own: another demo on the same database must not take part.
  const name = `demo-${randomBytes(3).toString('hex')}`
  const election = elect.election(name)
  const log = new WorkLog()
  screen.event('starting three candidates')
  await using candidates = new Candidates(['candidate-1', 'candidate-2', 'candidate-3'], {
    connectionString,
    election: name,
    ttlMs: TTL_MS,
    log,
    trouble,
  })
  await using picture = new Picture({ election, candidates, ttlMs: TTL_MS, screen, failed })
  const starting = candidates.all.map(async ({ name, pid, ready }) => {
    await ready
    screen.event(`${name} stands for election, pid ${pid}`)
  })
  await Promise.race([Promise.all(starting), aborted()])
  const cast: Cast = { screen, election, candidates, picture, log, ttlMs: TTL_MS, signal: ending.signal }

  const first = await nextReign(cast, 0)
  screen.event(`it renews its lease of ${duration(TTL_MS, 0)} each second; the others wait and ask nothing`)
  await look(cast, LOOK_MS)
  const second = await crash(cast, first)
  await look(cast, LOOK_MS)
  const third = await goodbye(cast, second.next)
  await look(cast, LOOK_MS)

  const tokens = [first, second.next, third.next].map(({ lease }) => lease.token)
  const findings = [...second.findings, ...third.findings, ...conclude(cast, tokens)]
  if (keep) {
    summarise(findings)
    await stay(nameOf(third.next.lease), database.psqlTarget)
  }
  return findings
}

function summarise(findings: readonly Finding[]): void {
  screen.line()
  for (const { isSo, text } of findings) {
    screen.line(`${isSo ? screen.style('green', '     ok') : screen.style('red', ' NOT SO')}  ${text}`)
  }
  screen.line()
  const failures = findings.filter(({ isSo }) => !isSo).length
  screen.line(
    failures === 0
      ? screen.style('bold', `All as it should be, after ${screen.elapsed}.`)
      : screen.style(
          'red',
          `The demo failed: ${failures} of ${findings.length} findings are not as they should be.`,
        ),
  )
}

/** Leaves everything as it is until somebody interrupts. */
async function stay(leader: string, psqlTarget: string): Promise<void> {
  isOver = true
  screen.line()
  screen.line(`${leader} goes on. Look at it from another terminal:`)
  screen.line(`  psql ${psqlTarget}`)
  screen.line('  SELECT * FROM elect.current_leases;')
  screen.line('Ctrl-C stops all of it.')
  await aborted().catch((reason: unknown) => {
    if (!(reason instanceof Interrupted)) throw reason
  })
}

/** Never resolves; rejects when the demo must end. */
async function aborted(): Promise<never> {
  if (!ending.signal.aborted) await once(ending.signal, 'abort')
  throw ending.signal.reason
}

function trouble(what: string, hasEnded = false): void {
  if (ending.signal.aborted) return
  screen.event(screen.style('yellow', what))
  if (hasEnded && !isOver) ending.abort(new Error(what))
}

function failed(error: unknown): void {
  ending.abort(error)
}
