/**
 * One of the demo's processes, and what an application would write too: it stands for election, works while it leads, stops when it
 * is told to, and goes in an orderly way on SIGTERM. What it says to its parent is for the demo only.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { PgElect } from '../../src/index.ts'
import { plainLogger } from '../support/plain-logger.ts'
import { machineTimeMs, type Report } from './work-log.ts'

const STEP_MS = 50
const { DEMO_DATABASE = '', DEMO_ELECTION = '', DEMO_CANDIDATE = '', DEMO_TTL_MS = '' } = process.env

const stopping = new AbortController()
process.once('SIGTERM', () => stopping.abort())
// The parent is gone: there is nobody left to show anything to.
process.once('disconnect', () => stopping.abort())
if (!process.connected) stopping.abort()

const elect = new PgElect({
  connectionString: DEMO_DATABASE,
  holder: DEMO_CANDIDATE,
  ttlMs: Number(DEMO_TTL_MS),
  logger: plainLogger(console.error),
})
const election = elect.election(DEMO_ELECTION, { metadata: { candidate: DEMO_CANDIDATE, pid: process.pid } })

tell({ kind: 'ready' })
try {
  await election.lead(
    async ({ token, signal }) => {
      tell({ kind: 'began', token, atMs: machineTimeMs() })
      while (!signal.aborted) {
        tell({ kind: 'step', token, atMs: machineTimeMs() })
        await delay(STEP_MS, undefined, { signal }).catch(() => {})
      }
      tell({ kind: 'ended', token, atMs: machineTimeMs() })
    },
    { signal: stopping.signal },
  )
} catch (error) {
  if (!stopping.signal.aborted) throw error
} finally {
  await elect.close()
  if (process.connected) process.disconnect()
}

function tell(report: Report): void {
  // The callback takes the error of a parent that has just gone.
  process.send?.(report, undefined, undefined, () => {})
}
