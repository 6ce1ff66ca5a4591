/** Contenders in processes of their own, as their parent sees them. The process itself is server-contender.ts. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Grant, History, HistoryEvent, Moment } from './history.ts'

export interface ContenderSettings {
  readonly connectionString: string
  /** The readable part of its name as a holder. */
  readonly label: string
  readonly ttlMs: number
  /** Leaders write here all the time, guarded: (lease, token, id). */
  readonly table?: string | undefined
}

export type ContenderOrder =
  | { readonly campaign: readonly string[] }
  | { readonly resign: readonly string[] }
  | { readonly withdraw: readonly string[] }

/** The end of a term, and what the signal of it gave as its reason. */
export interface EndOfTerm {
  readonly lease: string
  readonly holder: string
  readonly token: number
  readonly at: Moment
  readonly why: string
}

export type ContenderReport =
  | { readonly ready: true }
  | { readonly events: readonly HistoryEvent[] }
  /** Its client has connected to a server that can be written to. */
  | { readonly reachedAt: Moment }
  | { readonly ended: EndOfTerm }
  | { readonly failed: string }

const script = fileURLToPath(new URL('server-contender.ts', import.meta.url))
const WAIT_MS = 30_000

/** One process. What it tells goes into the history. */
export class ContenderProcess {
  readonly label: string
  readonly reachedAt: Moment[] = []
  readonly ends: EndOfTerm[] = []
  readonly failures: string[] = []
  readonly events: HistoryEvent[] = []
  readonly #child: ChildProcess
  readonly #looks = new Set<() => void>()

  constructor(child: ChildProcess, label: string, history: History) {
    this.label = label
    this.#child = child
    child.on('message', (report: ContenderReport) => {
      if ('events' in report) {
        for (const event of report.events) {
          history.record(event)
          this.events.push(event)
        }
      } else if ('reachedAt' in report) this.reachedAt.push(report.reachedAt)
      else if ('ended' in report) this.ends.push(report.ended)
      else if ('failed' in report) this.failures.push(report.failed)
      for (const look of this.#looks) look()
    })
    child.once('exit', (code, signal) => {
      if (signal !== 'SIGKILL') this.failures.push(`ended with ${code ?? signal}`)
      for (const look of this.#looks) look()
    })
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  tell(order: ContenderOrder): void {
    this.#child.send(order)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Its grants of a lease, told at that moment or later. */
  grantsOf(lease: string, since: Moment = 0): Grant[] {
    return this.events.filter(
      (event): event is Grant => event.kind === 'grant' && event.lease === lease && event.answeredAt >= since,
    )
  }

  /** Resolves once something it has told makes this hold. */
  async until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (holds()) done(resolve)
        else if (this.failures.length > 0) done(() => reject(new Error(`${this.label}: ${this.failures[0]}`)))
      }
      const timer = setTimeout(() => {
        done(() => reject(new Error(`${this.label}, ${what}: not within ${WAIT_MS} ms`)))
      }, WAIT_MS).unref()
      const done = (then: () => void) => {
        clearTimeout(timer)
        this.#looks.delete(look)
        then()
      }
      this.#looks.add(look)
    })
  }

  /** Resolves once it has been granted all of these, at that moment or later. */
  leads(leases: readonly string[], since: Moment = 0): Promise<void> {
    return this.until(`leads ${leases.join(', ')}`, () =>
      leases.every((lease) => this.grantsOf(lease, since).length > 0),
    )
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** Starts one; it is killed at the end of the test at the latest. */
export async function startContenderProcess(
  settings: ContenderSettings,
  history: History,
): Promise<ContenderProcess> {
  const child = fork(script, [JSON.stringify(settings)], { execArgv: ['--import', 'tsx'] })
  const contender = new ContenderProcess(child, settings.label, history)
  onTestFinished(() => contender.kill())
  await once(child, 'message')
  return contender
}

/** Resolves once each of the leases is led by one of them, by a grant told at that moment or later. */
export async function someoneLeads(
  contenders: readonly ContenderProcess[],
  leases: readonly string[],
  since: Moment,
): Promise<void> {
  const isLed = (lease: string) => contenders.some((contender) => contender.grantsOf(lease, since).length > 0)
  await Promise.race(
    contenders.map((contender) => contender.until(`somebody leads ${leases}`, () => leases.every(isLed))),
  )
}
