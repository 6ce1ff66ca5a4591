/** The processes of a server: what it takes to stop, freeze or kill them all at once. Reads /proc, so it is for Linux. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { TestContext } from 'vitest'

/** For tests that kill or freeze a server. */
export function skipWithoutProc(context: TestContext): void {
  if (existsSync('/proc/self/stat')) return
  console.log('skipped: no /proc')
  context.skip('skipped: no /proc')
}

const run = promisify(execFile)
const WAIT_MS = 10_000

interface Process {
  readonly pid: number
  readonly parent: number
  /** A letter, as `ps` shows it: T stopped, Z ended. */
  readonly state: string
}

async function look(pid: number): Promise<Process | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name in brackets may itself have brackets and blanks.
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (state === undefined || state === '' || state === 'Z' || state === 'X') return undefined
  return { pid, parent: Number(parent), state }
}

async function childrenOf(pid: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const processes = await Promise.all(pids.map(look))
  return processes.flatMap((process) => (process?.parent === pid ? [process.pid] : []))
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`${what}: not after ${WAIT_MS} ms`)
    await delay(2)
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Whether that process stands still, or is gone. */
async function stands(pid: number): Promise<boolean> {
  const state = (await look(pid))?.state
  return state === undefined || state === 'T' || state === 't'
}

/**
 * Stops the server with all its sessions. The postmaster goes first: then nothing new begins, and it cannot answer what happens to the others.
 *
 * @returns the processes below the postmaster
 */
export async function freezeServer(postmaster: number): Promise<number[]> {
  signal(postmaster, 'SIGSTOP')
  await until(`postmaster ${postmaster} stands still`, () => stands(postmaster))
  const children = await childrenOf(postmaster)
  for (const child of children) signal(child, 'SIGSTOP')
  for (const child of children) await until(`process ${child} stands still`, () => stands(child))
  return children
}

/** Lets a frozen server go on. */
export async function thawServer(postmaster: number): Promise<void> {
  for (const child of await childrenOf(postmaster)) signal(child, 'SIGCONT')
  signal(postmaster, 'SIGCONT')
}

/** Kills the postmaster and all its processes, none of which can do anything about it; resolves once they are gone. */
export async function killServer(postmaster: number, dataFolder: string): Promise<void> {
  const children = await freezeServer(postmaster)
  for (const pid of [postmaster, ...children]) signal(pid, 'SIGKILL')
  for (const pid of [postmaster, ...children]) {
    await until(`process ${pid} is gone`, async () => (await look(pid)) === undefined)
  }
  await removeLeftovers(dataFolder)
}

/**
 * As a boot of the machine does: what no process uses any more. A lock file would keep the server from starting if another process got
 * the number of its postmaster, and the shared memory of a server that never starts again would stay for good.
 */
async function removeLeftovers(dataFolder: string): Promise<void> {
  const lockFile = join(dataFolder, 'postmaster.pid')
  const lines = (await readFile(lockFile, 'utf8').catch(() => '')).split('\n')
  const sharedMemory = lines[6]?.trim().split(/\s+/)[1]
  if (sharedMemory !== undefined) await run('ipcrm', ['-m', sharedMemory]).catch(() => undefined)
  await rm(lockFile, { force: true })
}
