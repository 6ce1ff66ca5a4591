import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'
import type { LeaseOptions, PgElectOptions } from '../../../../src/index.ts'

const run = promisify(execFile)

export type HolderCommand =
  /** Block the event loop, and look at `isHeld` meanwhile; else only when it is over. */
  { kind: 'block'; forMs: number; lookEveryMs?: number } | { kind: 'look' } | { kind: 'close' }

export type HolderReport =
  | { event: 'held'; token: number }
  | { event: 'blocking' }
  | {
      event: 'unblocked'
      isHeld: boolean
      remainingMs: number
      isAborted: boolean
      /** When `isHeld` was last seen to be true, by the wall clock: the moment just before it was asked. */
      heldAtMs: number
    }
  | { event: 'looked'; isHeld: boolean }
  | { event: 'aborted'; reason: string }
  | { event: 'logged'; level: string; message: string }
  | { event: 'closed' }
  | { event: 'failed'; message: string }

export interface HolderSetup {
  readonly lease: string
  readonly options: Omit<PgElectOptions, 'logger'>
  readonly leaseOptions?: LeaseOptions
}

type ReportOf<Event extends HolderReport['event']> = Extract<HolderReport, { event: Event }>

/** The package and the holder as they are after a build, in a folder of their own. */
export interface Compiled extends AsyncDisposable {
  readonly source: string
  readonly holder: string
}

/** Compiles them. Threads run JavaScript only, on the oldest platform that this package knows. */
export async function compile(): Promise<Compiled> {
  const folder = await mkdtemp(join(tmpdir(), 'pg-elect-compiled-'))
  const root = resolve('.')
  const holder = 'test/integration/client/hanging/holder.ts'
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      noCheck: true,
      rootDir: root,
      outDir: folder,
      allowJs: false,
      checkJs: false,
    },
    files: [join(root, holder), join(root, 'src/worker-heartbeat/worker.ts')],
    include: [],
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  await run(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', folder])
  return {
    source: join(folder, 'src'),
    holder: join(folder, holder.replace(/ts$/, 'js')),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** A holder in a process of its own. What it reports is kept, so that nothing is missed between two looks. */
export class Holder {
  readonly process: ChildProcess
  readonly reports: HolderReport[] = []
  readonly #looks = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.process = child
    child.on('message', (message) => {
      this.reports.push(message as HolderReport)
      for (const look of this.#looks) look()
    })
  }

  tell(command: HolderCommand): void {
    this.process.send(command)
  }

  /** Its first report of that kind. */
  reported<Event extends HolderReport['event']>(event: Event): Promise<ReportOf<Event>> {
    return new Promise((resolveReport, reject) => {
      const look = () => {
        const found = this.reports.find((one) => one.event === event)
        const failed = this.reports.find((one) => one.event === 'failed')
        if (found === undefined && failed === undefined) return
        this.#looks.delete(look)
        if (found === undefined) reject(new Error(JSON.stringify(failed)))
        else resolveReport(found as ReportOf<Event>)
      }
      this.#looks.add(look)
      look()
    })
  }

  /** What it complained of, in order. */
  get complaints(): string[] {
    return this.reports.filter((one) => one.event === 'logged').map(({ message }) => message)
  }
}

/** Starts a process; killed at the end of the test at the latest. */
export function startHolder(compiled: Compiled, setup: HolderSetup): Holder {
  const child = fork(compiled.holder, [JSON.stringify(setup)], { execArgv: [] })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  return new Holder(child)
}
