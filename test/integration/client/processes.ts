import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Takeover } from '../../../src/index.ts'
import type { TestDatabase } from '../../support/postgres/database.ts'

export type ContenderCommand = 'install' | 'lead' | 'look' | 'close'

export type ContenderReport =
  | { event: 'ready' }
  | { event: 'installed' }
  | { event: 'working'; token: number }
  | { event: 'stopped'; token: number; isHeld: boolean }
  | { event: 'looked'; isHeld: boolean }
  | { event: 'failed'; message: string }

type ReportOf<Event extends ContenderReport['event']> = Extract<ContenderReport, { event: Event }>

/** A contender in a process of its own. What it reports is kept, so that nothing is missed between two looks. */
export class Contender {
  readonly process: ChildProcess
  readonly reports: ContenderReport[] = []
  readonly #waiting = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.process = child
    child.on('message', (message) => {
      this.reports.push(message as ContenderReport)
      for (const look of this.#waiting) look()
    })
  }

  tell(command: ContenderCommand): void {
    this.process.send(command)
  }

  /** The contender's next report of that kind, counted from `after` reports on. */
  reported<Event extends ContenderReport['event']>(event: Event, after = 0): Promise<ReportOf<Event>> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.reports.slice(after).find((report) => report.event === event)
        const failed = this.reports.slice(after).find((report) => report.event === 'failed')
        if (found === undefined && failed === undefined) return
        this.#waiting.delete(look)
        if (found === undefined) reject(new Error(JSON.stringify(failed)))
        else resolve(found as ReportOf<Event>)
      }
      this.#waiting.add(look)
      look()
    })
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const exited = once(this.process, 'exit')
    this.process.kill(signal)
    await exited
  }
}

const contenderScript = fileURLToPath(new URL('contender.ts', import.meta.url))

/** Starts a contender for an election in a process of its own; killed at the end of the test at the latest. */
export async function startContender(
  database: TestDatabase,
  electionName: string,
  ttlMs: number,
  takeover: Takeover = 'expiry',
  keptBy: 'itself' | 'session' = 'itself',
): Promise<Contender> {
  const given = [database.connectionString, electionName, String(ttlMs), takeover, keptBy]
  const child = fork(contenderScript, given, { execArgv: ['--import', 'tsx'] })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  const contender = new Contender(child)
  await contender.reported('ready')
  return contender
}
