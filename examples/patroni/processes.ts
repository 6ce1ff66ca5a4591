/** Servers of the cluster as processes: started, and signalled by their ids, never by their names. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Account } from '../../test/support/postgres/account.ts'

/** How to start a server. */
export interface DaemonPlan {
  readonly file: string
  readonly args: readonly string[]
  readonly folder: string
  readonly logFile: string
  readonly account: Account | undefined
}

/** A server that we started ourselves. */
export interface Daemon {
  readonly pid: number
  readonly end: Promise<void>
  hasEnded(): boolean
}

export function startDaemon({ file, args, folder, logFile, account }: DaemonPlan): Daemon {
  const log = openSync(logFile, 'a')
  const child = spawn(file, args, {
    cwd: folder,
    // Nothing of our environment but this: PGPORT, PATRONI_… or an odd LANG would change the server.
    env: { PATH: process.env.PATH ?? '', HOME: folder, LC_ALL: 'C' },
    // A session of its own: Ctrl-C in the terminal is for the example, which then stops its servers in order.
    detached: true,
    stdio: ['ignore', log, log],
    ...account,
  })
  closeSync(log)
  let ended = false
  const end = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  }).then(() => {
    ended = true
  })
  child.unref()
  return { pid: child.pid ?? -1, end, hasEnded: () => ended }
}

/** Sends the signal; a process that is gone already is none the worse for it. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    // Never 0 or less, which would mean a whole group.
    if (pid <= 1) continue
    try {
      process.kill(pid, signal)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
}

/** A process of the system, as /proc has it. */
export interface ProcessEntry {
  readonly pid: number
  readonly parentPid: number
  readonly isRunning: boolean
}

export async function processEntry(pid: number): Promise<ProcessEntry | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name of the program is in parentheses, and may contain anything.
  const [state, parent] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  if (state === undefined) return undefined
  return { pid, parentPid: Number(parent), isRunning: state !== 'Z' && state !== 'X' }
}

export async function childrenOf(pid: number): Promise<number[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const entries = await Promise.all(names.map((name) => processEntry(Number(name))))
  return entries.flatMap((entry) => (entry?.parentPid === pid && entry.isRunning ? [entry.pid] : []))
}

/** @returns whether all of them ended in that time. */
export async function haveEnded(pids: readonly number[], withinMs: number): Promise<boolean> {
  const untilMs = performance.now() + withinMs
  for (;;) {
    const entries = await Promise.all(pids.map(processEntry))
    if (!entries.some((entry) => entry?.isRunning)) return true
    if (performance.now() > untilMs) return false
    await delay(30)
  }
}
