import { type ChildProcess, fork, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Wire } from './network.ts'
import type { Report, WorkerPlan } from './reports.ts'

const script = fileURLToPath(new URL('worker.ts', import.meta.url))
const STOP_TIMEOUT_MS = 3_000

/** What all workers have in common, and who hears of them. */
export interface CrewPlan extends Omit<WorkerPlan, 'worker'> {
  readonly heard: (report: Report) => void
  /** Is told of a worker that ended though nobody has ended it. */
  readonly failed: (error: Error) => void
}

/** A worker: a process, replaced when it is killed, and its wire to the database. */
export class Worker {
  readonly name: string
  readonly wire: Wire
  /** Resolves once the first process has loaded its code. */
  readonly ready: Promise<void>
  readonly #plan: CrewPlan
  #process: ChildProcess
  #isWanted = true
  #announceReady: () => void = () => {}

  constructor(name: string, wire: Wire, plan: CrewPlan) {
    this.name = name
    this.wire = wire
    this.#plan = plan
    this.ready = new Promise((resolve) => {
      this.#announceReady = resolve
    })
    this.#process = this.#start()
  }

  get pid(): number {
    return this.#process.pid ?? -1
  }

  /** Ends it at once: it can do nothing more, not even say goodbye. Another process takes its place after that time. */
  async killAndReplace(afterMs: number, signal: AbortSignal): Promise<void> {
    this.#isWanted = false
    this.#process.kill('SIGKILL')
    await delay(afterMs, undefined, { signal })
    this.#isWanted = true
    this.#process = this.#start()
  }

  /** Stops it as a suspended machine does: when it goes on, it does not know that time has passed. */
  async suspend(forMs: number, signal: AbortSignal): Promise<void> {
    const { pid } = this
    this.#process.kill('SIGSTOP')
    // Whatever becomes of us, somebody wakes it up: this one does when its input ends, as it does with the process that holds it.
    const waker = spawn('/bin/sh', ['-c', `read line; kill -CONT ${pid}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    waker.on('error', () => this.#process.kill('SIGCONT'))
    try {
      await delay(forMs, undefined, { signal })
    } finally {
      this.#process.kill('SIGCONT')
      waker.stdin.end()
    }
  }

  kill(): void {
    this.#isWanted = false
    this.#process.kill('SIGKILL')
  }

  /** Asks it to stop in an orderly way, and does not wait for ever. */
  async end(): Promise<void> {
    this.#isWanted = false
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const closed = new Promise((resolve) => this.#process.once('close', resolve))
      this.#process.kill('SIGTERM')
      await Promise.race([closed, delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
      this.#process.kill('SIGKILL')
      await closed
    }
    await this.wire[Symbol.asyncDispose]()
  }

  #start(): ChildProcess {
    const { heard, failed, ...rest } = this.#plan
    const plan: WorkerPlan = {
      ...rest,
      connectionString: this.wire.through(rest.connectionString),
      worker: this.name,
    }
    const child = fork(script, {
      // By its full name: it is found from whatever folder the example was started in.
      execArgv: ['--import', import.meta.resolve('tsx')],
      env: { ...process.env, PAYMENTS_PLAN: JSON.stringify(plan) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Out of reach of the terminal's Ctrl-C: who stops when is for the parent to say.
      detached: true,
    })
    let complaint = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
    })
    child.on('message', (report: Report) => {
      if (report.kind === 'ready') this.#announceReady()
      else heard(report)
    })
    child.once('error', failed)
    child.once('close', (code, signal) => {
      if (this.#isWanted && child === this.#process)
        failed(new Error(`${this.name} ended by itself (${signal ?? `code ${code}`}) ${complaint.trim()}`))
    })
    return child
  }
}

/** All workers. None of them outlives the example. */
export class Crew implements AsyncDisposable {
  readonly workers: readonly Worker[]
  // The last resort, when there is no time left to wait for anything.
  readonly #killAll = () => {
    for (const worker of this.workers) worker.kill()
  }

  private constructor(workers: readonly Worker[]) {
    this.workers = workers
    process.once('exit', this.#killAll)
  }

  static async start(names: readonly string[], plan: CrewPlan): Promise<Crew> {
    const wires = await Promise.all(names.map(() => Wire.open(plan.connectionString)))
    return new Crew(wires.map((wire, place) => new Worker(names[place] ?? '', wire, plan)))
  }

  named(name: unknown): Worker | undefined {
    return this.workers.find((worker) => worker.name === name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.end()))
    process.removeListener('exit', this.#killAll)
  }
}
