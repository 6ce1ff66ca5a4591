/**
 * One of the processes, and what an application would write too: it stands for election, and while it leads it writes, guarded. It is
 * told nothing of fail-overs.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { type Leadership, LeaseLostError, PgElect } from '../../src/index.ts'
import { PrimarySession } from './primary-session.ts'
import type { CandidatePlan, Report } from './reports.ts'

const PACE_MS = 5
const PAUSE_MS = 50

const plan = JSON.parse(process.env.PATRONI_PLAN ?? '{}') as CandidatePlan
const { candidate, connectionString, servers, ttlMs } = plan

const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())
process.once('disconnect', () => {
  // The parent is gone, and the cluster with it: an orderly end may never come.
  setTimeout(() => process.exit(1), ttlMs).unref()
  stopping.abort()
})
if (!process.connected) stopping.abort()

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const elect = new PgElect({ connectionString, holder: candidate, ttlMs, logger: silent })
const session = new PrimarySession(servers)
let count = 0

tell({ kind: 'ready' })
try {
  await elect.election(plan.election, { metadata: { candidate } }).lead(
    async (leadership) => {
      tell({ kind: 'leads', token: leadership.token })
      while (!leadership.signal.aborted) {
        const isDone = await write(leadership).then(
          () => true,
          (error) => {
            session.drop()
            report(error)
            return false
          },
        )
        await delay(isDone ? PACE_MS : PAUSE_MS)
      }
    },
    { signal: stopping.signal },
  )
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error)
    process.exitCode = 1
  }
} finally {
  session.drop()
  await elect.close()
  if (process.connected) process.disconnect()
  process.exit()
}

/** Commits only while this process leads, and is not tried again: each write has a name of its own, to be found or missed later. */
async function write(leadership: Leadership): Promise<void> {
  const { token } = leadership
  const id = `${candidate}-${process.pid}-${++count}`
  const client = await session.get()
  const timeline = await leadership.transaction(client, (trx) => insert(trx, id, token), {
    timeoutMs: ttlMs,
  })
  tell({ kind: 'acknowledged', id, token, timeline, atMs: Number(process.hrtime.bigint()) / 1e6 })
}

async function insert(client: pg.Client, id: string, token: number): Promise<number> {
  const { rows } = await client.query<{ timeline: number }>(
    'INSERT INTO writes (id, token) VALUES ($1, $2) RETURNING timeline',
    [id, token],
  )
  return rows[0]?.timeline ?? 0
}

function report(error: unknown): void {
  if (error instanceof LeaseLostError) tell({ kind: 'refused' })
  else tell({ kind: 'setback', message: error instanceof Error ? error.message : String(error) })
}

function tell(message: Report): void {
  // The callback takes the error of a parent that has just gone.
  process.send?.(message, undefined, undefined, () => {})
}
