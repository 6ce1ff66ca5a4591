/**
 * A process with one client that campaigns for what its parent names, and tells what it believes and when: the moments are those of the
 * machine's clock, which is the same in all processes.
 */
import pg from 'pg'
import { type Election, type Leadership, LeaseLostError, PgElect } from '../../../src/index.ts'
import { type HistoryEvent, moment } from './history.ts'
import type { ContenderOrder, ContenderReport, ContenderSettings } from './server-contenders.ts'

const settings: ContenderSettings = JSON.parse(process.argv[2] ?? '{}')
const { connectionString, label, ttlMs, table } = settings

/** How often a leader looks at its own trust, and how long it pauses between two writes. */
const LOOK_MS = 5
const WRITE_PAUSE_MS = 10
/** How many of the writes take long. */
const SLOW_PART = 0.15

const report = (message: ContenderReport) => process.send?.(message)
const tell = (...events: HistoryEvent[]) => report({ events })

const client = new PgElect({
  connectionString,
  holder: label,
  ttlMs,
  logger: {
    debug: (_, message) => {
      if (message === 'the control connection is up') report({ reachedAt: moment() })
    },
    info() {},
    warn() {},
    error() {},
  },
})
const pool =
  table === undefined ? undefined : new pg.Pool({ connectionString, max: 4, connectionTimeoutMillis: ttlMs })
pool?.on('error', () => {})
// The pool itself listens to a client while that is idle: one that the server ends in the moment it is lent out is heard by nobody.
pool?.on('connect', (session) => session.on('error', () => {}))

const elections = new Map<string, { readonly election: Election; readonly stop: AbortController }>()
let writes = 0

/** Leads until the term is over; tells each change of what it trusts. */
async function serve(leadership: Leadership): Promise<void> {
  const { name: lease, holder, token, timing, signal } = leadership
  const own = { lease, holder, token }
  const answeredAt = moment()
  const trustMs = timing.ttlMs - timing.safetyMarginMs
  let until = answeredAt + leadership.remainingMs
  // The trust began when the request was sent, or later.
  const sentAt = Math.min(answeredAt, until - trustMs)
  tell({ kind: 'grant', ...own, sentAt, answeredAt, trustedUntil: until })
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      const isRelease = !(signal.reason instanceof LeaseLostError)
      tell({ kind: 'ending', ...own, at: moment(), isRelease })
      report({ ended: { ...own, at: moment(), why: String(signal.reason) } })
      resolve()
    }
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
  const looking = setInterval(() => {
    // Both are read at one moment; what is over is told as an ending.
    const at = moment()
    const remainingMs = leadership.remainingMs
    if (remainingMs <= 0 || signal.aborted || Math.abs(at + remainingMs - until) < 1) return
    until = at + remainingMs
    tell({ kind: 'trusting', ...own, at, until })
  }, LOOK_MS)
  const writing = pool === undefined ? undefined : write(pool, leadership)
  await ended
  clearInterval(looking)
  await writing
}

/** Writes as a leader should, and goes on trying after its time: it is the guard that has to refuse then. */
async function write(writers: pg.Pool, leadership: Leadership): Promise<void> {
  const { name: lease, holder, token, signal } = leadership
  while (!signal.aborted) {
    const id = `${label} ${process.pid} ${writes++}`
    let sentAt: number | undefined
    let outcome: 'committed' | 'refused' | 'unknown' = 'committed'
    try {
      await leadership.transaction(writers, async (session) => {
        await session.query(`INSERT INTO ${table} (lease, token, id) VALUES ($1, $2, $3)`, [lease, token, id])
        // A process that is slow between its last statement and its commit is where a check alone would not help: now and then for
        // so long that another may be granted the lease meanwhile.
        const longestMs = Math.random() < SLOW_PART ? 2 * ttlMs : 2 * WRITE_PAUSE_MS
        await new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs))
        sentAt = moment()
      })
    } catch {
      outcome = sentAt === undefined ? 'refused' : 'unknown'
    }
    const answeredAt = moment()
    tell({ kind: 'write', lease, holder, token, id, outcome, sentAt: sentAt ?? answeredAt, answeredAt })
    await new Promise((resolve) => setTimeout(resolve, WRITE_PAUSE_MS))
  }
}

function campaign(lease: string): void {
  const stop = new AbortController()
  const election = client.election(lease)
  elections.set(lease, { election, stop })
  election.lead(serve, { signal: stop.signal }).catch((error: unknown) => {
    if (!stop.signal.aborted) report({ failed: `${lease}: ${error}` })
  })
}

process.on('message', (order: ContenderOrder) => {
  if ('campaign' in order) for (const lease of order.campaign) campaign(lease)
  if ('resign' in order) for (const lease of order.resign) void elections.get(lease)?.election.resign()
  if ('withdraw' in order) {
    for (const lease of order.withdraw) {
      elections.get(lease)?.stop.abort(new Error('enough'))
      elections.delete(lease)
    }
  }
})
process.once('disconnect', () => process.exit())
report({ ready: true })
