/**
 * The heartbeat as the main thread sees it when a thread of its own does the work: registers leases with it, and takes in its news.
 *
 * News come as messages, in order. A message waits for the event loop, which may be blocked; so whoever looks at a lease has the news
 * read first, in the middle of the turn (`receiveMessageOnPort`). That is how `isHeld` knows of a renewal, or of a refusal, that came
 * while synchronous code was running.
 *
 * Where the thread is late (it has just been started, or cannot connect), the main heartbeat stands in: it renews what the thread has not
 * for half as long again as the interval.
 */
import type { Clock, Timer } from '../clock.ts'
import type { Extension, Heartbeat, KeptLease, LeaseHeartbeat, Renewable } from '../heartbeat.ts'
import { describeError, type Logger } from '../logger.ts'
import type { LeaseAnswer } from '../queries.ts'
import type { Command, News, Report } from './messages.ts'

/** The thread, from the main thread's side. */
export interface HeartbeatThread {
  post(command: Command): void
  /** The oldest news that nobody has read; undefined: none. */
  receive(): News | undefined
  /** Called back in a turn of the event loop for news that {@link receive} did not take. */
  onNews(callback: (news: News) => void): void
  onReport(callback: (report: Report) => void): void
  /** Called back once if the thread ends though it was not told to. */
  onFailed(callback: (error: unknown) => void): void
  close(): Promise<void>
}

interface WorkerHeartbeatDependencies {
  readonly thread: HeartbeatThread
  /** Renews single leases at once, those that the thread is late with, and all of them should it fail. */
  readonly mainHeartbeat: Pick<Heartbeat, 'add' | 'remove' | 'renewNow'>
  readonly clock: Clock
  readonly logger: Logger
  readonly hangTimeoutMs: number
}

/** A lease, and what is known of it that it was not told yet. */
interface Entry {
  readonly id: number
  readonly lease: KeptLease
  /** The lease as the main heartbeat has it. */
  readonly standIn: Renewable
  /** All of them, the oldest first: each proves only what the ones before it left unbroken. */
  extensions: Extension[]
  refusal?: LeaseAnswer | undefined
  isHung?: boolean
}

/** How much later than the thread the main heartbeat comes. */
const STAND_IN_FACTOR = 1.5

export class WorkerHeartbeat implements LeaseHeartbeat {
  readonly #dependencies: WorkerHeartbeatDependencies
  readonly #entries = new Map<KeptLease, Entry>()
  /** Those too that were removed, until no renewal of them is under way. */
  readonly #entriesById = new Map<number, Entry>()
  readonly #untold = new Set<Entry>()
  #tellTimer: Timer | undefined
  #lastId = 0
  #hasFailed = false

  constructor(dependencies: WorkerHeartbeatDependencies) {
    this.#dependencies = dependencies
    const { thread } = dependencies
    thread.onNews((news) => {
      this.#take(news)
      // Those behind it, too: what this one has extended may be over by now.
      this.#receiveAll()
      this.#tellAll()
    })
    thread.onReport((report) => this.#heed(report))
    thread.onFailed((error) => this.#fallBack(error))
  }

  add(lease: KeptLease, withinMs = Number.POSITIVE_INFINITY): void {
    const { thread, mainHeartbeat, clock } = this.#dependencies
    if (this.#hasFailed) {
      mainHeartbeat.add(lease, withinMs)
      return
    }
    const { name, token, timing } = lease
    this.#lastId += 1
    const entry: Entry = { id: this.#lastId, lease, standIn: standInFor(lease), extensions: [] }
    this.#entries.set(lease, entry)
    this.#entriesById.set(entry.id, entry)
    mainHeartbeat.add(entry.standIn, withinMs * STAND_IN_FACTOR)
    thread.post({ kind: 'add', id: entry.id, name, token, timing, withinMs, at: clock.now() })
  }

  remove(lease: KeptLease): void {
    const { thread, mainHeartbeat } = this.#dependencies
    mainHeartbeat.remove(lease)
    const entry = this.#entries.get(lease)
    if (entry === undefined) return
    this.#entries.delete(lease)
    mainHeartbeat.remove(entry.standIn)
    thread.post({ kind: 'remove', id: entry.id })
  }

  renewNow(lease: KeptLease): Promise<void> {
    return this.#dependencies.mainHeartbeat.renewNow(lease)
  }

  catchUp(lease: KeptLease): void {
    this.#receiveAll()
    const entry = this.#entries.get(lease)
    if (entry !== undefined) this.#tell(entry)
    // Others hear of theirs in a turn of their own: looking at one lease must not run what listens to another.
    if (this.#untold.size > 0) {
      this.#tellTimer ??= this.#dependencies.clock.setTimer(() => this.#tellAll(), 0)
    }
  }

  /** Ends the thread. Leases must have been given back. */
  close(): Promise<void> {
    return this.#dependencies.thread.close()
  }

  #receiveAll(): void {
    const { thread } = this.#dependencies
    for (let news = thread.receive(); news !== undefined; news = thread.receive()) this.#take(news)
  }

  #take(news: News): void {
    const entry = this.#entriesById.get(news.id)
    if (entry === undefined) return
    if (news.kind === 'removed') {
      this.#entriesById.delete(news.id)
      return
    }
    if (news.kind === 'extended') entry.extensions.push(news)
    if (news.kind === 'refused') entry.refusal = news.answer
    if (news.kind === 'hung') entry.isHung = true
    this.#untold.add(entry)
  }

  #tellAll(): void {
    this.#tellTimer?.cancel()
    this.#tellTimer = undefined
    for (const entry of this.#untold) this.#tell(entry)
  }

  #tell(entry: Entry): void {
    this.#untold.delete(entry)
    const { lease, extensions, refusal, isHung } = entry
    // First of all: the lease looks at itself when it is told.
    entry.extensions = []
    entry.refusal = undefined
    entry.isHung = false
    if (refusal !== undefined) lease.refused(refusal)
    else if (isHung === true) {
      const { hangTimeoutMs } = this.#dependencies
      lease.lose(`the event loop of this process did not answer for ${hangTimeoutMs} ms`)
    } else if (extensions.length > 0) {
      lease.extendedBy(extensions)
      // The thread is on time.
      if (this.#entries.has(lease)) this.#dependencies.mainHeartbeat.add(entry.standIn)
    }
  }

  #heed(report: Report): void {
    const { thread, clock, logger } = this.#dependencies
    if (report.kind === 'ping') thread.post({ kind: 'alive', at: clock.now() })
    else logger[report.level]({ ...report.fields, thread: 'heartbeat' }, report.message)
  }

  #fallBack(error: unknown): void {
    const { mainHeartbeat, logger } = this.#dependencies
    this.#hasFailed = true
    logger.error(
      { leases: this.#entries.size, error: describeError(error) },
      'the thread of the heartbeat has failed: the main loop renews from now on',
    )
    this.#receiveAll()
    this.#tellAll()
    for (const { standIn } of this.#entries.values()) mainHeartbeat.remove(standIn)
    for (const lease of this.#entries.keys()) mainHeartbeat.add(lease, 0)
    this.#entries.clear()
    this.#entriesById.clear()
  }
}

/** Due later than the lease is in the thread, but early enough for retries before its deadline. */
function standInFor(lease: KeptLease): Renewable {
  const { name, token, timing } = lease
  const { ttlMs, safetyMarginMs, renewIntervalMs, queryTimeoutMs } = timing
  const latestMs = Math.max(renewIntervalMs, ttlMs - safetyMarginMs - queryTimeoutMs)
  return {
    name,
    token,
    timing: { ...timing, renewIntervalMs: Math.min(renewIntervalMs * STAND_IN_FACTOR, latestMs) },
    extended: (sentAt, expiresInMs) => lease.extended(sentAt, expiresInMs),
    refused: (answer) => lease.refused(answer),
  }
}
