/** A real cluster: `npm run example:patroni`, or `npm run example:patroni -- --help`. */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { PgElect } from '../../src/index.ts'
import { Interrupted } from '../support/interruption.ts'
import { plainLogger } from '../support/plain-logger.ts'
import { openStage, optionsOrExit } from '../support/stage.ts'
import { Candidates } from './candidates.ts'
import { Cluster } from './cluster.ts'
import { Failovers } from './failovers.ts'
import { History } from './history.ts'
import { Ledger } from './ledger.ts'
import { HELP, type PatroniOptions, readOptions } from './options.ts'
import { findPrograms, installPrograms, ProgramsMissingError } from './programs.ts'
import { type Summary, summarise } from './summary.ts'

const TTL_MS = 3_000
const ELECTION = 'patroni'
const TELL_MS = 5_000
const DRAW_MS = 200

const options = optionsOrExit(readOptions, HELP)
const { screen, ending } = openStage()

try {
  const { lines, faults } = await run(options)
  screen.line()
  for (const line of lines) screen.line(line)
  screen.line()
  for (const fault of faults) screen.line(screen.style('red', `NOT SO: ${fault}`))
  if (faults.length === 0) screen.line(screen.style('bold', `All as promised, after ${screen.elapsed}.`))
  else screen.line(`The same choices again: --seed ${options.seed}`)
  process.exitCode = faults.length === 0 ? 0 : 1
} catch (error) {
  // What a wait throws when it is ended is less telling than what ended it.
  const reason = ending.signal.aborted ? ending.signal.reason : error
  const hasOwnCode = reason instanceof Interrupted || reason instanceof ProgramsMissingError
  process.exitCode = hasOwnCode ? reason.exitCode : 1
  const text = reason instanceof Error ? reason.message : String(reason)
  if (reason instanceof ProgramsMissingError) screen.line(screen.style('red', text))
  else
    screen.line(
      screen.style('red', `The example ${reason instanceof Interrupted ? 'was' : 'failed:'} ${text}`),
    )
}

/** All of it. Whatever it starts has ended when it is over, also if it throws. */
async function run({ rounds, kinds, isSynchronous, seed, install }: PatroniOptions): Promise<Summary> {
  const { signal } = ending
  screen.line(
    `pg-elect: three Patroni nodes, three candidates, ${rounds} fail-over${rounds === 1 ? '' : 's'}, ${isSynchronous ? 'synchronous' : 'asynchronous'} replication; seed ${seed}`,
  )
  screen.line()
  if (install) await installPrograms(screen.event)
  const programs = await findPrograms()

  await using cluster = await Cluster.start({ programs, isSynchronous, progress: screen.event, signal })
  const { connectionString } = cluster
  const servers = cluster.nodes.map((node) => cluster.serverOf(node))
  await using ledger = new Ledger(servers)
  // Nothing acknowledged can be lost where replication is synchronous: then no successor has to wait.
  const grace = !isSynchronous
  screen.event(`two standbys stream; installing schema elect, grace ${grace ? 'on' : 'off'}`)
  {
    await using elect = new PgElect({ connectionString, logger: plainLogger(screen.event) })
    await ledger.prepare(elect, ELECTION, TTL_MS, grace)
  }
  signal.throwIfAborted()

  const history = new History()
  screen.event('starting three candidates; whoever leads writes, guarded')
  const candidates = new Candidates(['candidate-1', 'candidate-2', 'candidate-3'], {
    connectionString,
    servers,
    election: ELECTION,
    ttlMs: TTL_MS,
    heard: history.hear,
    failed: (error) => ending.abort(error),
  })
  const isDone = new AbortController()
  const failovers = new Failovers({
    cluster,
    history,
    ledger,
    election: ELECTION,
    kinds,
    seed,
    happened: (text) => screen.event(screen.style('yellow', text)),
    told: screen.event,
    signal,
  })
  const showing = show(history, failovers, AbortSignal.any([signal, isDone.signal]))
  try {
    await Promise.race([candidates.ready, aborted()])
    await failovers.run(rounds)
  } catch (error) {
    ending.abort(error)
    throw error
  } finally {
    isDone.abort()
    await showing
    await candidates[Symbol.asyncDispose]()
  }
  // Whatever is lost from here on would be found missing.
  screen.event('the candidates have stopped; reading what is left')
  const [written, epochs] = [await ledger.written(), await ledger.epochs()]
  const graceMs = grace ? TTL_MS : undefined
  return summarise({ history, failovers: failovers.all, written, epochs, isSynchronous, graceMs })
}

/** The state of things: a line that changes on a terminal, and one now and then elsewhere. */
async function show(history: History, failovers: Failovers, signal: AbortSignal): Promise<void> {
  let toldAtMs = performance.now()
  while (!signal.aborted) {
    const counts = `guarded writes acknowledged: ${history.acknowledged.length}, terms: ${history.terms.length}, fail-overs: ${failovers.all.length}`
    screen.draw(['', `  ${counts}`])
    if (!screen.isLive && performance.now() - toldAtMs >= TELL_MS) {
      toldAtMs = performance.now()
      screen.event(counts)
    }
    await delay(DRAW_MS, undefined, { signal }).catch(() => {})
  }
  screen.draw([])
}

/** Never resolves; rejects when the example must end. */
async function aborted(): Promise<never> {
  if (!ending.signal.aborted) await once(ending.signal, 'abort')
  throw ending.signal.reason
}
