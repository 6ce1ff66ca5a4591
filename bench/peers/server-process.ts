/** A server of another system as a child process: found on the PATH, started, waited for, and ended with its folder. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Unavailable } from '../harness/scenario.ts'

/** The first of these programs that is there. @throws Unavailable, with how to install it. */
export function requireProgram(names: readonly string[], what: string): string {
  for (const name of names) {
    if (name.startsWith('/') ? existsSync(name) : isOnPath(name)) return name
  }
  throw new Unavailable(`${what} is not installed (bench/install-peers.sh installs it)`)
}

function isOnPath(name: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', name], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Ports that nobody has at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

/** A child process with a folder of its own. */
export class ServerProcess {
  readonly folder = mkdtempSync(join(tmpdir(), 'pg-elect-peer-'))
  #child: ChildProcess | undefined
  #output = ''

  start(program: string, parameters: readonly string[], env: Record<string, string> = {}): void {
    const child = spawn(program, parameters, {
      cwd: this.folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk).slice(-4000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    this.#child = child
    // Where this process fails, nobody stops it in order.
    process.once('exit', () => {
      child.kill('SIGKILL')
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 })
    })
  }

  /** Waits until `isReady` succeeds. @throws with the last output if it ends or takes too long. */
  async untilReady(isReady: () => Promise<unknown>, timeoutMs = 30_000): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs
    for (;;) {
      try {
        await isReady()
        return
      } catch (error) {
        const hasEnded = this.#child?.exitCode != null
        if (hasEnded || performance.now() > deadlineMs) {
          throw new Error(`it did not come up: ${this.#output}`, { cause: error })
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }

  async stop(): Promise<void> {
    const child = this.#child
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const giveUp = setTimeout(() => child.kill('SIGKILL'), 5000)
      await ended
      clearTimeout(giveUp)
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 })
  }
}
