/** A network of its own for a process, on a cable that can be pulled: the kernel itself then loses what is sent, and sends it again. */
import { type ChildProcess, execFile, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const run = promisify(execFile)

export class Cable implements AsyncDisposable {
  /** Where this side is reached from the other one. */
  readonly host: string
  readonly #name: string

  private constructor(name: string, host: string) {
    this.#name = name
    this.host = host
  }

  /** Undefined where namespaces cannot be made: only root can, on Linux. */
  static async lay(): Promise<Cable | undefined> {
    const name = `pge${randomBytes(4).toString('hex')}`
    const subnet = `10.213.${randomBytes(1)[0]}`
    const cable = new Cable(name, `${subnet}.1`)
    try {
      await run('ip', ['netns', 'add', name])
      await run('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'far', 'netns', name])
      await run('ip', ['addr', 'add', `${subnet}.1/24`, 'dev', name])
      await run('ip', ['-n', name, 'addr', 'add', `${subnet}.2/24`, 'dev', 'far'])
      await run('ip', ['-n', name, 'link', 'set', 'far', 'up'])
      await cable.plug()
    } catch {
      await cable[Symbol.asyncDispose]()
      return undefined
    }
    return cable
  }

  /** A script that runs at the far end. */
  fork(script: string, args: readonly string[]): ChildProcess {
    const execArgv = ['netns', 'exec', this.#name, process.execPath, '--import', 'tsx']
    // What it says of a database that cannot be reached is of no interest.
    return fork(script, args, { execPath: 'ip', execArgv, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
  }

  async pull(): Promise<void> {
    await run('ip', ['link', 'set', this.#name, 'down'])
  }

  async plug(): Promise<void> {
    await run('ip', ['link', 'set', this.#name, 'up'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The cable goes with the namespace.
    await run('ip', ['netns', 'del', this.#name]).catch(() => {})
  }
}
