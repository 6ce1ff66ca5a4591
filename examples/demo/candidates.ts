import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { machineTimeMs, type Report, type WorkLog } from './work-log.ts'

const script = fileURLToPath(new URL('candidate.ts', import.meta.url))
const STOP_TIMEOUT_MS = 3_000

/** What candidates are started with. */
export interface CandidatePlan {
  readonly connectionString: string
  readonly election: string
  readonly ttlMs: number
  readonly log: WorkLog
  /** Is told what a candidate complains of, and when one ends that nobody has ended. */
  readonly trouble: (what: string, hasEnded?: boolean) => void
}

/** One contender in a process of its own. */
export class Candidate {
  readonly name: string
  readonly pid: number
  /** Resolves once the process has loaded its code and stands for election. */
  readonly ready: Promise<void>
  readonly ended: Promise<void>
  state: 'starting' | 'running' | 'killed' | 'stopping' | 'stopped' | 'died' = 'starting'
  readonly #process: ChildProcess

  constructor(name: string, { connectionString, election, ttlMs, log, trouble }: CandidatePlan) {
    this.name = name
    this.#process = fork(script, {
      // By its full name: it is found from whatever folder the demo was started in.
      execArgv: ['--import', import.meta.resolve('tsx')],
      env: {
        ...process.env,
        // Not as arguments, which every user of the machine can read.
        DEMO_DATABASE: connectionString,
        DEMO_ELECTION: election,
        DEMO_CANDIDATE: name,
        DEMO_TTL_MS: String(ttlMs),
      },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Out of reach of the terminal's Ctrl-C: who stops when is for the parent to say.
      detached: true,
    })
    this.pid = this.#process.pid ?? -1
    this.ready = new Promise((resolve) => {
      this.#process.on('message', (report: Report) => {
        if (report.kind !== 'ready') return log.add(name, report)
        if (this.state === 'starting') this.state = 'running'
        resolve()
      })
    })
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => {
        const expected = this.state === 'killed' || this.state === 'stopping'
        if (this.state === 'stopping') this.state = code === 0 ? 'stopped' : 'killed'
        if (!expected) {
          this.state = 'died'
          trouble(`${name} ended by itself (${signal ?? `code ${code}`})`, true)
        }
        resolve()
      })
      this.#process.once('error', (error) => {
        if (this.#process.pid !== undefined) return
        this.state = 'died'
        trouble(`${name} did not start: ${error.message}`, true)
        resolve()
      })
    })
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.trimEnd().split('\n')) trouble(`${name}: ${line}`)
    })
  }

  get isAlive(): boolean {
    return this.state === 'starting' || this.state === 'running' || this.state === 'stopping'
  }

  /**
   * Ends it at once: it can do nothing more, not even say goodbye.
   *
   * @returns the moment of the kill.
   */
  kill(): number {
    if (this.isAlive) this.state = 'killed'
    const atMs = machineTimeMs()
    this.#process.kill('SIGKILL')
    return atMs
  }

  /**
   * Asks it to stop in an orderly way, as a deployment does.
   *
   * @returns the moment of asking.
   */
  stop(): number {
    if (this.isAlive) this.state = 'stopping'
    const atMs = machineTimeMs()
    this.#process.kill('SIGTERM')
    return atMs
  }
}

/** All candidates of the demo. None of them outlives it. */
export class Candidates implements AsyncDisposable {
  readonly all: readonly Candidate[]
  // The last resort, when there is no time left to wait for anything.
  readonly #killAll = () => {
    for (const candidate of this.all) if (candidate.isAlive) candidate.kill()
  }

  constructor(names: readonly string[], plan: CandidatePlan) {
    this.all = names.map((name) => new Candidate(name, plan))
    process.once('exit', this.#killAll)
  }

  /** @throws Error if there is none of that name. */
  named(name: string): Candidate {
    const candidate = this.all.find((one) => one.name === name)
    if (candidate === undefined) throw new Error(`somebody else leads: ${name}`)
    return candidate
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const candidate of this.all) if (candidate.isAlive) candidate.stop()
    const allEnded = Promise.all(this.all.map((candidate) => candidate.ended))
    await Promise.race([allEnded, delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
    this.#killAll()
    await allEnded
    process.removeListener('exit', this.#killAll)
  }
}
