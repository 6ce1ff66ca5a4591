/** Payments: `npm run example:payments`, or `npm run example:payments -- --help`. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { PgElect } from '../../src/index.ts'
import { openDatabase } from '../support/database.ts'
import { Interrupted } from '../support/interruption.ts'
import { plainLogger } from '../support/plain-logger.ts'
import { openStage, optionsOrExit } from '../support/stage.ts'
import { Crew } from './crew.ts'
import { Invoices } from './invoices.ts'
import { HELP, type PaymentsOptions, readOptions } from './options.ts'
import { Provider } from './provider.ts'
import { type Summary, summarise, Tally } from './tally.ts'
import { TroubleMaker } from './trouble.ts'

const TTL_MS = 1_000
/** How long after the trouble the last invoices may take. */
const PATIENCE_MS = 20_000
const DRAW_MS = 100
const TELL_MS = 5_000

const options = optionsOrExit(readOptions, HELP)
const { screen, ending } = openStage()

try {
  const { lines, faults } = await run(options)
  screen.line()
  for (const line of lines) screen.line(line)
  screen.line()
  for (const fault of faults) screen.line(screen.style('red', `NOT SO: ${fault}`))
  if (faults.length === 0)
    screen.line(screen.style('bold', `Each invoice was charged exactly once, after ${screen.elapsed}.`))
  else screen.line(`The same choices again: --seed ${options.seed}`)
  process.exitCode = faults.length === 0 ? 0 : 1
} catch (error) {
  // What a wait throws when it is ended is less telling than what ended it.
  const reason = ending.signal.aborted ? ending.signal.reason : error
  process.exitCode = reason instanceof Interrupted ? reason.exitCode : 1
  const text = reason instanceof Error ? reason.message : String(reason)
  screen.line(screen.style('red', `The example ${reason instanceof Interrupted ? 'was' : 'failed:'} ${text}`))
}

/** All of it. Whatever it starts has ended when it is over, also if it throws. */
async function run({ invoices: count, seconds, seed, isGuarded }: PaymentsOptions): Promise<Summary> {
  const { signal } = ending
  screen.line(`pg-elect: ${count} invoices, three processes, and trouble; seed ${seed}`)
  if (!isGuarded)
    screen.line(screen.style('yellow', 'Unguarded: whoever believes to lead charges and writes.'))
  screen.line()

  await using database = await openDatabase(screen.event)
  signal.throwIfAborted()
  screen.event(`installing schema elect in ${database.description}`)
  const { connectionString } = database
  await using elect = new PgElect({ connectionString, logger: plainLogger(screen.event) })
  await elect.install()
  signal.throwIfAborted()

  // A name of this run's own: another one on the same database must not take part.
  const name = `payments_${randomBytes(4).toString('hex')}`
  await using invoices = await Invoices.create(connectionString, name, count)
  await using provider = await Provider.open(seed)
  const tally = new Tally()
  screen.event(`the payment provider is at ${provider.url}`)
  screen.event('starting three workers')
  await using crew = await Crew.start(['worker-1', 'worker-2', 'worker-3'], {
    connectionString,
    schema: name,
    election: name,
    ttlMs: TTL_MS,
    providerUrl: provider.url,
    isGuarded,
    heard: tally.hear,
    failed: (error) => ending.abort(error),
  })
  await Promise.race([Promise.all(crew.workers.map((worker) => worker.ready)), aborted()])
  await invoices.open(seconds, isGuarded ? name : undefined)
  screen.event(`${count} invoices fall due within ${seconds} s`)

  const election = elect.election(name)
  const trouble = new TroubleMaker({
    seed,
    ttlMs: TTL_MS,
    crew,
    provider,
    election,
    happened: (text) => screen.event(screen.style('yellow', text)),
    before: async () => {
      if (!isGuarded) return
      tally.tampering.tried += 1
      if (await invoices.tamper()) tally.tampering.refused += 1
    },
    signal,
  })
  const isDone = new AbortController()
  const showing = show(invoices, provider, tally, trouble, AbortSignal.any([signal, isDone.signal]))
  try {
    await trouble.run(seconds)
    await untilPaid(invoices)
    screen.event('no more trouble, and nothing left to pay; the workers stop')
    // Those that were out have woken up by now; what they were about to do, they do before they stop.
    await crew[Symbol.asyncDispose]()
    await provider.settled()
    return summarise({ books: await invoices.books(), provider, trouble, tally, isGuarded })
  } catch (error) {
    // Whatever waits for something gives up, or it would go on, to start the next worker.
    ending.abort(error)
    throw error
  } finally {
    isDone.abort()
    await showing
  }
}

async function untilPaid(invoices: Invoices): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS
  while ((await invoices.paid()) < invoices.count) {
    ending.signal.throwIfAborted()
    if (performance.now() > untilMs) return screen.event('not all invoices were paid in time')
    await delay(DRAW_MS, undefined, { signal: ending.signal })
  }
}

/** The state of things: a line that changes on a terminal, and one now and then elsewhere. */
async function show(
  invoices: Invoices,
  provider: Provider,
  tally: Tally,
  trouble: TroubleMaker,
  signal: AbortSignal,
): Promise<void> {
  let toldAtMs = performance.now()
  while (!signal.aborted) {
    const paid = await invoices.paid().catch(() => 0)
    const refused = tally.refused.database + tally.refused.client
    const progress = `${paid} of ${invoices.count} paid`
    const counts = `${provider.requests} requests, ${trouble.blows} troubles, ${tally.tokens.size} terms, ${refused} refused`
    screen.draw(['', `  ${screen.bar(paid / invoices.count)}  ${progress}`, `  ${counts}`])
    if (!screen.isLive && performance.now() - toldAtMs >= TELL_MS) {
      toldAtMs = performance.now()
      screen.event(`${progress}; ${counts}`)
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
