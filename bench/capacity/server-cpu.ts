/** How much of the processor a server on this machine has used, from Linux's /proc; elsewhere, or of a server elsewhere, that is not to be had. */
import { readdirSync, readFileSync } from 'node:fs'
import type pg from 'pg'

/** Linux tells the times of ended processes in hundredths of a second. */
const MS_PER_TICK = 10

export interface ServerCpu {
  /** Milliseconds on a processor of one backend so far, to the microsecond. */
  backendMs(pid: number): number
  /** Of all the server's processes so far, also of those that have ended. */
  serverMs(): number
  /** Bytes of memory that this backend shares with nobody; not a number: only its owner may see them. */
  backendBytes(pid: number): number
}

/** @returns undefined if the session's backend is no process that this one can look at */
export async function openServerCpu(session: pg.Client): Promise<ServerCpu | undefined> {
  const { rows } = await session.query<{ pid: number; name: string }>(
    'SELECT pg_backend_pid() AS pid, current_database() AS name',
  )
  const { pid, name } = rows[0] ?? { pid: 0, name: '' }
  try {
    // Another process may have that number here: the server runs in a container, or elsewhere.
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(name)) return undefined
    const { parent } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    const cpu: ServerCpu = { backendMs, serverMs: () => familyMs(parent), backendBytes }
    cpu.backendMs(pid)
    return cpu
  } catch {
    return undefined
  }
}

function backendMs(pid: number): number {
  return parseSchedstat(readFileSync(`/proc/${pid}/schedstat`, 'utf8'))
}

function backendBytes(pid: number): number {
  try {
    return parsePrivateBytes(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))
  } catch {
    return Number.NaN
  }
}

function familyMs(parent: number): number {
  let sumMs = backendMs(parent) + parseStat(readFileSync(`/proc/${parent}/stat`, 'utf8')).endedChildrenMs
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      if (parseStat(readFileSync(`/proc/${entry}/stat`, 'utf8')).parent === parent) {
        sumMs += backendMs(Number(entry))
      }
    } catch {
      // It has just ended: its parent's count has it, or will have it.
    }
  }
  return sumMs
}

/** The first figure of /proc/…/schedstat is nanoseconds on a processor. */
export function parseSchedstat(text: string): number {
  const ns = Number(text.trim().split(' ')[0])
  if (text.trim() === '' || !Number.isFinite(ns)) {
    throw new TypeError(`expected nanoseconds first, got ${JSON.stringify(text)}`)
  }
  return ns / 1e6
}

/** Of /proc/…/stat: the parent process, and the time of children that have ended and were waited for. */
export function parseStat(text: string): { parent: number; endedChildrenMs: number } {
  // The name of the process, in brackets, may have spaces and brackets in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[13]) + Number(fields[14])
  if (!Number.isFinite(ticks))
    throw new TypeError(`expected a line of /proc/…/stat, got ${JSON.stringify(text)}`)
  return { parent: Number(fields[1]), endedChildrenMs: ticks * MS_PER_TICK }
}

/** Of /proc/…/smaps_rollup. */
export function parsePrivateBytes(text: string): number {
  const kilobytes = [...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)].map((match) =>
    Number(match[1]),
  )
  if (kilobytes.length === 0) throw new TypeError('expected lines of /proc/…/smaps_rollup, got none')
  return kilobytes.reduce((a, b) => a + b, 0) * 1024
}
