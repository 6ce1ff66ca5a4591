import type { LeaseContext } from '../../../src/holding.ts'
import { Lease } from '../../../src/lease.ts'
import type { LeaseAnswer } from '../../../src/queries.ts'
import { requestLease } from '../../../src/request.ts'
import type { TimingOptions } from '../../../src/timing.ts'
import type { Command, News, Report } from '../../../src/worker-heartbeat/messages.ts'
import { ThreadHeartbeat } from '../../../src/worker-heartbeat/thread-heartbeat.ts'
import { type HeartbeatThread, WorkerHeartbeat } from '../../../src/worker-heartbeat/worker-heartbeat.ts'
import type { ModelLeases } from './model-leases.ts'
import { ScriptedDatabase } from './scripted-database.ts'
import { StubClock } from './stub-clock.ts'
import { StubProcess } from './stub-process.ts'

/** The thread's end of the conversation. What it says waits until the main loop turns, or until it is read in the middle of a turn. */
class StubThread implements HeartbeatThread {
  heartbeat: ThreadHeartbeat | undefined
  readonly commands: Command[] = []
  readonly news: News[] = []
  readonly reports: Report[] = []
  #onNews: (news: News) => void = () => undefined
  #onReport: (report: Report) => void = () => undefined
  fail: (error: unknown) => void = () => undefined

  // Whatever passes is copied, as between real threads: what cannot be copied fails.
  post(command: Command): void {
    const copy = structuredClone(command)
    this.commands.push(copy)
    if (copy.kind !== 'close') this.heartbeat?.obey(copy)
  }

  receive(): News | undefined {
    return this.news.shift()
  }

  onNews(callback: (news: News) => void): void {
    this.#onNews = callback
  }

  onReport(callback: (report: Report) => void): void {
    this.#onReport = callback
  }

  onFailed(callback: (error: unknown) => void): void {
    this.fail = callback
  }

  async close(): Promise<void> {
    this.heartbeat = undefined
  }

  /** The main loop comes to what waits for it. */
  turn(): void {
    for (let news = this.news.shift(); news !== undefined; news = this.news.shift()) this.#onNews(news)
    for (let report = this.reports.shift(); report !== undefined; report = this.reports.shift()) {
      this.#onReport(report)
    }
  }
}

interface StubThreadedOptions extends TimingOptions {
  hangTimeoutMs?: number
}

/** No beat or ping is shorter than this. */
const STEP_MS = 50

/** A process whose leases are renewed by a thread. Both threads see the same time, but the main one can be blocked. */
export class StubThreaded {
  readonly main: StubProcess
  readonly model: ModelLeases
  readonly thread = new StubThread()
  readonly threadClock = new StubClock()
  readonly threadDatabase: ScriptedDatabase
  readonly heartbeat: WorkerHeartbeat
  readonly context: LeaseContext
  /** How often the thread was to connect ahead of its beats. */
  connects = 0
  /** Called after each little while, also while the main loop is blocked. */
  onStep: () => void = () => undefined

  constructor({ hangTimeoutMs = 60_000, ...timing }: StubThreadedOptions = {}) {
    this.main = new StubProcess(timing)
    this.model = this.main.model
    this.threadDatabase = new ScriptedDatabase(this.threadClock, this.model.answers())
    const { clock, random, logger } = this.main.context
    this.thread.heartbeat = new ThreadHeartbeat({
      executor: this.threadDatabase,
      clock: this.threadClock,
      random,
      logger,
      hangTimeoutMs,
      connect: () => {
        this.connects += 1
      },
      tell: (news) => void this.thread.news.push(structuredClone(news)),
      ping: () => void this.thread.reports.push({ kind: 'ping' }),
    })
    this.heartbeat = new WorkerHeartbeat({
      thread: this.thread,
      mainHeartbeat: this.main.heartbeat,
      clock,
      logger,
      hangTimeoutMs,
    })
    this.context = { ...this.main.context, heartbeat: this.heartbeat }
  }

  async lease(name = 'job'): Promise<Lease> {
    const outcome: Lease | LeaseAnswer = await requestLease(this.context, this.main.request(name))
    if (outcome instanceof Lease) return outcome
    throw new Error(`expected a lease, was refused: ${outcome.holder}`)
  }

  /** Time goes on, and all is well. */
  async advance(ms: number): Promise<void> {
    await this.#step(ms, async (stepMs) => {
      await this.threadClock.advance(stepMs)
      this.thread.turn()
      await this.main.clock.advance(stepMs)
      this.thread.turn()
      await this.threadClock.settle()
    })
  }

  /** Time goes on, but the main loop is blocked: nothing turns there. */
  async block(ms: number): Promise<void> {
    await this.#step(ms, async (stepMs) => {
      this.main.clock.pass(stepMs)
      await this.threadClock.advance(stepMs)
    })
  }

  /** The process is stopped: neither thread notices. */
  stop(ms: number): void {
    this.main.clock.pass(ms)
    this.threadClock.pass(ms)
  }

  /** The machine sleeps. */
  suspend(ms: number): void {
    this.main.clock.suspend(ms)
    this.threadClock.suspend(ms)
  }

  stepWall(ms: number): void {
    this.main.clock.stepWall(ms)
    this.threadClock.stepWall(ms)
  }

  async #step(ms: number, step: (stepMs: number) => Promise<void>): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= STEP_MS) {
      await step(Math.min(leftMs, STEP_MS))
      this.onStep()
    }
  }
}
