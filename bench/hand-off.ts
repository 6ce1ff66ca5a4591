/**
 * Hand-offs: how many a second, how fast, how fair. `npm run bench:hand-off`; DATABASE_URL for a server of your own, else an embedded one.
 *
 * Rounds of all ways to wait are interleaved, so that a slow moment of the machine strikes all alike; told are medians.
 */
import { availableParallelism } from 'node:os'
import { connect, openBenchDatabase } from './harness/bench-database.ts'
import { quantile } from './harness/statistics.ts'
import { type Contest, contend, type Way } from './support/contenders.ts'
import { crowds, deadCandidate, handOffTimes, throughClient } from './support/hand-offs.ts'

const rounds = Number(process.env.ROUNDS ?? 5)
const roundMs = Number(process.env.ROUND_MS ?? 2000)
const database = await openBenchDatabase()
const { connectionString } = database
try {
  console.log(
    `\nPostgreSQL ${database.version}, ${availableParallelism()} cores, ${rounds} rounds of ${roundMs} ms each\n`,
  )
  const snapshots = await watchSnapshots()
  for (const count of [16, 64]) await contests(count)
  console.log(`longest snapshot of a session while they waited: ${(await snapshots.stop()).toFixed(0)} ms\n`)
  await clients()
  await releases()
  await times()
  await dead()
} finally {
  await database.drop()
}

async function contests(count: number): Promise<void> {
  const seen: Record<Way, Contest[]> = { herd: [], line: [], queue: [] }
  for (let round = 0; round < rounds; round++) {
    for (const way of ['herd', 'line', 'queue'] as const) {
      seen[way].push(await contend(connectionString, way, count, roundMs, `${way} ${count} ${round}`))
    }
  }
  const rate = (way: Way) =>
    quantile(
      seen[way].map((contest) => contest.handOffsPerSecond),
      0.5,
    )
  console.log(`${count} contenders, hold 0, SQL alone, hand-offs a second`)
  for (const way of ['herd', 'line', 'queue'] as const) {
    const rates = seen[way].map((contest) => contest.handOffsPerSecond)
    const fairness = Math.min(...seen[way].map((contest) => contest.fairness))
    const overlaps = seen[way].reduce((sum, contest) => sum + contest.overlaps, 0)
    console.log(
      `  ${way.padEnd(6)} ${rate(way).toFixed(0).padStart(6)}  (${Math.min(...rates).toFixed(0)} to ${Math.max(...rates).toFixed(0)})` +
        `  ${(rate(way) / rate('herd')).toFixed(1)} x herd  fairness at least ${fairness.toFixed(4)}  overlaps ${overlaps}`,
    )
  }
  console.log()
}

async function clients(): Promise<void> {
  console.log('16 contenders, hold 0, through the client, one process, hand-offs a second')
  for (const way of ['line', 'queue', 'fast'] as const) {
    const rates: number[] = []
    for (let round = 0; round < rounds; round++) {
      rates.push(await throughClient(connectionString, way, 16, roundMs, `client ${way} ${round}`))
    }
    console.log(`  ${way.padEnd(6)} ${quantile(rates, 0.5).toFixed(0).padStart(6)}`)
  }
  console.log()
}

async function releases(): Promise<void> {
  const [few, many] = await crowds(connectionString, [10, 1000], 300)
  if (few === undefined || many === undefined) return
  console.log('A release, by how many wait (median ms of 300, in turns; how many sessions were told of each)')
  for (const { count, releaseMs, toldPerRelease } of [few, many]) {
    console.log(
      `  ${String(count).padStart(5)} wait  ${releaseMs.toFixed(3)} ms  told ${toldPerRelease.toFixed(2)}`,
    )
  }
  console.log(`  ratio ${(many.releaseMs / few.releaseMs).toFixed(2)}\n`)
}

async function times(): Promise<void> {
  const { commitMs, handOffMs } = await handOffTimes(connectionString, 300)
  const [commit, handOff] = [quantile(commitMs, 0.5), quantile(handOffMs, 0.5)]
  console.log(
    'From the call of release to the work of the next leader, in another process, through the client',
  )
  console.log(`  one durable commit p50 ${commit.toFixed(3)} ms`)
  console.log(
    `  hand-off p50 ${handOff.toFixed(3)} ms, p99 ${quantile(handOffMs, 0.99).toFixed(3)} ms: ${(handOff / commit).toFixed(2)} commits\n`,
  )
}

async function dead(): Promise<void> {
  const beyondMs: number[] = []
  for (let i = 0; i < 5; i++) beyondMs.push(await deadCandidate(connectionString, `dead ${i}`))
  console.log(
    `Dead first candidate: the next one leads ${Math.max(...beyondMs).toFixed(0)} ms after the accept time, at most of 5\n`,
  )
}

/** Looks all the time for the oldest snapshot of a session, which is what holds vacuum back. */
async function watchSnapshots(): Promise<{ stop(): Promise<number> }> {
  const client = await connect(connectionString)
  let longestMs = 0
  let stopped = false
  const text = `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 * 1000 AS ms
    FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()`
  const watching = (async () => {
    while (!stopped) {
      longestMs = Math.max(longestMs, (await client.query<{ ms: number }>(text)).rows[0]?.ms ?? 0)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  return {
    async stop() {
      stopped = true
      await watching
      await client.end()
      return longestMs
    },
  }
}
