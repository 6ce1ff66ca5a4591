import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { CandidatePlan, Report } from './reports.ts'

const script = fileURLToPath(new URL('candidate.ts', import.meta.url))
const STOP_TIMEOUT_MS = 5_000

export interface CandidatesPlan extends Omit<CandidatePlan, 'candidate'> {
  readonly heard: (candidate: string, report: Report) => void
  /** Is told of a process that ended though nobody has ended it. */
  readonly failed: (error: Error) => void
}

/** The processes that campaign. None of them outlives the example. */
export class Candidates implements AsyncDisposable {
  /** Resolves once all of them have loaded their code. */
  readonly ready: Promise<unknown>
  readonly #processes: readonly ChildProcess[]
  #isWanted = true
  // The last resort, when there is no time left to wait for anything.
  readonly #killAll = () => {
    for (const child of this.#processes) child.kill('SIGKILL')
  }

  constructor(names: readonly string[], plan: CandidatesPlan) {
    const ready: Promise<void>[] = []
    this.#processes = names.map((name) => {
      const child = this.#start(name, plan)
      ready.push(
        new Promise((resolve) => {
          child.on('message', (report: Report) => {
            if (report.kind === 'ready') resolve()
            else plan.heard(name, report)
          })
        }),
      )
      return child
    })
    this.ready = Promise.all(ready)
    process.once('exit', this.#killAll)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isWanted = false
    await Promise.all(this.#processes.map(end))
    process.removeListener('exit', this.#killAll)
  }

  #start(name: string, { heard: _, failed, ...rest }: CandidatesPlan): ChildProcess {
    const plan: CandidatePlan = { ...rest, candidate: name }
    const child = fork(script, {
      // By its full name: it is found from whatever folder the example was started in.
      execArgv: ['--import', import.meta.resolve('tsx')],
      env: { ...process.env, PATRONI_PLAN: JSON.stringify(plan) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Out of reach of the terminal's Ctrl-C: who stops when is for the parent to say.
      detached: true,
    })
    let complaint = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
    })
    child.once('error', failed)
    child.once('close', (code, signal) => {
      if (this.#isWanted)
        failed(new Error(`${name} ended by itself (${signal ?? `code ${code}`}) ${complaint.trim()}`))
    })
    return child
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await Promise.race([closed, delay(STOP_TIMEOUT_MS, undefined, { ref: false })])
  child.kill('SIGKILL')
  await closed
}
