import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished } from 'vitest'
import { killGroup, until } from './helpers.ts'

const repository = fileURLToPath(new URL('../../..', import.meta.url))

/** A run of one of the package's scripts, as somebody starts it who has just cloned the repository. */
export class NpmRun {
  output = ''
  /** The exit code of `npm run`, or the signal that ended it. */
  readonly end: Promise<number | NodeJS.Signals | null>
  readonly #process: ChildProcess

  constructor(script: string, databaseUrl: string, args: readonly string[] = []) {
    this.#process = spawn('npm', ['run', script, '--', ...args], {
      cwd: repository,
      env: { ...process.env, DATABASE_URL: databaseUrl },
      // A process group of its own, like a job of a shell: see interrupt().
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
      })
    }
    this.end = new Promise((resolve) => {
      this.#process.once('close', (code, signal) => resolve(code ?? signal))
    })
    onTestFinished(async () => {
      if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill()
    })
  }

  /** The folder of the embedded server. */
  get folder(): string {
    const folder = /initialising PostgreSQL \S+ in (\S+)/.exec(this.output)?.[1]
    return folder ?? expect.fail(`no folder in:\n${this.output}`)
  }

  async says(pattern: RegExp): Promise<void> {
    await until(`it says ${pattern}`, () => pattern.test(this.output))
  }

  /** As Ctrl-C does: the terminal tells the whole group. */
  interrupt(): void {
    process.kill(-(this.#process.pid ?? expect.fail('npm did not start')), 'SIGINT')
  }

  /** The whole group at once, as nobody could prepare for. */
  async kill(): Promise<void> {
    await killGroup(this.#process)
  }
}
