/**
 * A process that leads, writes under the guard without end, and is stopped in the midst of it. It looks at `isHeld` as the very first
 * thing in each turn, or, to see what the timer does by itself, not at all.
 */
import { createHook } from 'node:async_hooks'
import pg from 'pg'
import { type Leadership, LeaseLostError, PgElect } from '../../../src/index.ts'
import { silent } from '../primitives/uses.ts'
import { writeFenced } from '../support/fence.ts'
import { machineMs, type PausedCommand, type PausedReport } from './paused.ts'

const [connectionString = '', ttlMs = '0'] = process.argv.slice(2)
/** A paused transaction holds up its successor until the server ends it. */
const WRITE_TIMEOUT_MS = 200

const client = new PgElect({ connectionString, ttlMs: Number(ttlMs), logger: silent })
const pool = new pg.Pool({ connectionString, max: 1 })
pool.on('error', () => {})

let leadership: Leadership | undefined
let looksFirst = false
let heldAtMs = 0
let looks = 0
let writes = 0

function look(): void {
  if (leadership === undefined) return
  const beforeMs = machineMs()
  looks += 1
  if (leadership.isHeld) heldAtMs = beforeMs
}

const kinds = new Map<number, string>()
// Before every callback of whatever kind: sockets, messages, promises. But not before those of timers, as looking may call off the very
// timer that is about to be called, which Node does not expect at that moment: they look themselves.
createHook({
  init: (id, kind) => void kinds.set(id, kind),
  destroy: (id) => void kinds.delete(id),
  before: (id) => {
    if (looksFirst && kinds.get(id) !== 'Timeout') look()
  },
}).enable()
const { setTimeout: setPlainTimeout } = globalThis
globalThis.setTimeout = ((callback: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]) => {
  const lookFirst = (...given: unknown[]) => {
    if (looksFirst) look()
    callback(...given)
  }
  return setPlainTimeout(lookFirst, delayMs, ...args)
}) as typeof setTimeout

function report(message: PausedReport): void {
  process.send?.(message)
}

async function lead(name: string): Promise<void> {
  const mine = await client.election(name).campaign()
  leadership = mine
  mine.signal.addEventListener('abort', () => {
    const { token, isHeld } = mine
    report({ stopped: { token, atMs: machineMs(), heldAtMs, isHeld } })
  })
  report({ leads: { token: mine.token } })
  while (!mine.signal.aborted) {
    try {
      await mine.transaction(pool, (trx) => writeFenced(trx, name, mine.token), {
        timeoutMs: WRITE_TIMEOUT_MS,
      })
      writes += 1
    } catch (error) {
      // The server ends the session of a transaction that was paused for too long.
      if (error instanceof LeaseLostError) continue
      await new Promise(setImmediate)
    }
  }
}

process.on('message', ({ lead: plan, tell }: PausedCommand) => {
  if (plan !== undefined) {
    looksFirst = plan.looks
    heldAtMs = looks = writes = 0
    lead(plan.name).catch((error: unknown) => report({ failed: String(error) }))
  }
  if (tell) {
    if (leadership?.isHeld) heldAtMs = machineMs()
    report({ told: { heldAtMs, looks, writes } })
  }
})
process.once('disconnect', () => process.exit())
