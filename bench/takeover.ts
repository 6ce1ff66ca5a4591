/**
 * Takeover by connection: a leader is killed by SIGKILL; how long until the next leader's work runs? `npm run bench:takeover`, KILLS=50;
 * DATABASE_URL for a server of your own, else an embedded one.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { PgElect } from '../src/index.ts'
import { connect, openBenchDatabase } from './harness/bench-database.ts'
import { quantile } from './harness/statistics.ts'

const kills = Number(process.env.KILLS ?? 50)
/** So long that nothing is taken over by expiry. */
const ttlMs = 300_000
const database = await openBenchDatabase()
const { connectionString } = database
const tookMs: number[] = []
const heard = new Map<ChildProcess, Set<unknown>>()
try {
  const observer = await connect(connectionString)
  await using elect = new PgElect({ connectionString, ttlMs })
  const election = elect.election('killed', { takeover: 'connection' })
  let next = startLeader()
  for (let kill = 0; kill < kills; kill++) {
    const leader = next
    await told(leader, 'ready')
    leader.send('lead')
    await told(leader, 'leads')
    const succession = election.campaign()
    while (!(await waitsInServer()));
    const killedMs = performance.now()
    leader.kill('SIGKILL')
    const leadership = await succession
    tookMs.push(performance.now() - killedMs)
    await leadership.release()
    // Only now: a process that starts would be in the way of what is measured.
    if (kill + 1 < kills) next = startLeader()
  }
  await observer.end()

  async function waitsInServer(): Promise<boolean> {
    const { rows } = await observer.query<{ waits: boolean }>(`SELECT EXISTS (
      SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) AS waits`)
    return rows[0]?.waits === true
  }
} finally {
  await database.drop()
}
console.log(
  `\nPostgreSQL ${database.version}: from SIGKILL of the leader to the next one's work, ${kills} kills`,
)
console.log(
  `p50 ${quantile(tookMs, 0.5).toFixed(1)} ms, p99 ${quantile(tookMs, 0.99).toFixed(1)} ms, largest ${Math.max(...tookMs).toFixed(1)} ms`,
)

function startLeader(): ChildProcess {
  const script = fileURLToPath(new URL('support/leader.ts', import.meta.url))
  const child = fork(script, [connectionString, String(ttlMs)], { execArgv: ['--import', 'tsx'] })
  const words = new Set<unknown>()
  heard.set(child, words)
  child.on('message', (word) => words.add(word))
  return child
}

/** What it said before anybody asked counts, too. */
async function told(child: ChildProcess, word: string): Promise<void> {
  while (heard.get(child)?.has(word) !== true) await once(child, 'message')
}
