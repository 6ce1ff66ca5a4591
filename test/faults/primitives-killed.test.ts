/**
 * Every primitive with one of its users killed at a random moment: the others go on within a TTL and a second, and nothing is left
 * behind. One process uses them all, and its death is a kill of each. KILLS: how many deaths; SEED: which moments; ONLY: those primitives
 * whose names match.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PgElect } from '../../src/index.ts'
import type { Random } from '../../src/jitter.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts'
import { seededRandom } from '../unit/support/random.ts'
import { type Pause, persistently, silent, TTL_MS, type Use, uses } from './primitives/uses.ts'
import { scaled, seed } from './support/scale.ts'

const kills = scaled(10, 'KILLS')
/** From the kill until the others have all gone on. */
const LIMIT_MS = TTL_MS + 1_000
const victimScript = fileURLToPath(new URL('primitives/victim.ts', import.meta.url))

let database: TestDatabase
let session: pg.Client
let rivals: PgElect[]
const victims = new Set<ChildProcess>()
beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  const { connectionString } = database
  rivals = [0, 1].map(() => new PgElect({ connectionString, ttlMs: TTL_MS, logger: silent }))
})
afterAll(async () => {
  for (const victim of victims) victim.kill('SIGKILL')
  await Promise.all(rivals.map((rival) => rival.close()))
  await database.drop()
})

/** A process that waits for its round: the next one starts while this one still runs. */
async function startVictim(): Promise<ChildProcess> {
  const victim = fork(victimScript, [database.connectionString], {
    execArgv: ['--import', 'tsx'],
    // What it says of itself is of no interest: it is about to die.
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  victims.add(victim)
  victim.once('exit', () => victims.delete(victim))
  await once(victim, 'message')
  return victim
}

/** Uses a primitive until the kill, then once more; resolves when that has gone through for all rivals. */
async function goOn(use: Use, name: string, pause: Pause, killed: AbortSignal): Promise<void> {
  const allDone = new AbortController()
  const cycle = (rival: PgElect) =>
    persistently(() => (use.rival ?? use.cycle)(rival, name, pause, allDone.signal))
  let done = 0
  await Promise.all(
    rivals.map(async (rival) => {
      while (!killed.aborted) await cycle(rival)
      await cycle(rival).catch(unlessAborted(allDone.signal))
      done += 1
      if (done === rivals.length) allDone.abort()
      while (use.needsPartner && !allDone.signal.aborted) {
        await cycle(rival).catch(unlessAborted(allDone.signal))
      }
    }),
  )
  await persistently(() => use.proof(rivals[0] as PgElect, name))
}

function unlessAborted(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error
  }
}

interface Round {
  readonly tookMs: Map<string, number>
  readonly failures: string[]
}

/** One death. */
async function kill(victim: ChildProcess, round: string, random: Random): Promise<Round> {
  const killed = new AbortController()
  const pause = () => delay(20 * random())
  const failures: string[] = []
  victim.on('message', ({ failed }: { failed?: string }) => {
    if (failed !== undefined) failures.push(`the victim: ${failed}`)
  })
  let killedAt = Number.POSITIVE_INFINITY
  const tookMs = new Map<string, number>()
  const goingOn = Object.entries(uses).map(async ([primitive, use]) => {
    await goOn(use, `${round} ${primitive}`, pause, killed.signal)
    tookMs.set(primitive, performance.now() - killedAt)
  })
  victim.send({ round, seed: Math.floor(random() * 2 ** 31) })
  // The first moments, in which it connects and asks for the first time, count as well.
  await delay(600 * random())
  const exited = once(victim, 'exit')
  killedAt = performance.now()
  victim.kill('SIGKILL')
  killed.abort()
  await exited
  const overdue = delay(10 * LIMIT_MS, 'overdue', { ref: false })
  if ((await Promise.race([Promise.all(goingOn), overdue])) === 'overdue') {
    failures.push(`stuck: ${Object.keys(uses).filter((primitive) => !tookMs.has(primitive))}`)
    console.log(await howThingsStand())
  }
  return { tookMs, failures }
}

/** Who holds and waits for what, where something is stuck. */
async function howThingsStand(): Promise<string> {
  const { rows: sessions } = await session.query(
    `SELECT a.pid, a.state, a.wait_event, left(a.query, 300) AS query, array_agg(l.objid || ' ' || l.granted) FILTER (WHERE l.locktype = 'advisory') AS locks
     FROM pg_stat_activity a LEFT JOIN pg_locks l USING (pid)
     WHERE a.datname = current_database() GROUP BY 1, 2, 3, 4`,
  )
  const { rows: leases } = await session.query('SELECT * FROM elect.leases')
  return JSON.stringify({ now: new Date(), sessions, leases }, undefined, 1)
}

async function rowsLeft(): Promise<{ leases: number; shared: number; candidates: number }> {
  const { rows } = await session.query(
    `SELECT (SELECT count(*)::int FROM elect.leases) AS leases, (SELECT count(*)::int FROM elect.shared_leases) AS shared,
            (SELECT count(*)::int FROM elect.candidates) AS candidates`,
  )
  return rows[0]
}

describe(`primitives whose users are killed, SEED=${seed} KILLS=${kills}`, () => {
  test('the others go on within a TTL and a second, and nothing is left behind', {
    timeout: 60_000 + kills * 10_000,
  }, async () => {
    const random = seededRandom(seed)
    const longestMs = new Map<string, number>()
    const failures: string[] = []
    let next = startVictim()
    for (let number = 0; number < kills; number++) {
      const victim = await next
      if (number + 1 < kills) next = startVictim()
      const round = await kill(victim, `${seed} ${number}`, random)
      for (const [primitive, ms] of round.tookMs) {
        longestMs.set(primitive, Math.max(ms, longestMs.get(primitive) ?? 0))
        if (ms > LIMIT_MS) failures.push(`round ${number}: ${primitive} took ${Math.round(ms)} ms`)
      }
      failures.push(...round.failures.map((failure) => `round ${number}: ${failure}`))
      if (round.tookMs.size < Object.keys(uses).length) break
    }
    const figures = [...longestMs].map(([primitive, ms]) => `${primitive} ${Math.round(ms)} ms`)
    console.log(`SEED=${seed} KILLS=${kills}, longest until the others had gone on: ${figures.join(', ')}`)
    expect(failures).toEqual([])

    await Promise.all(rivals.map((rival) => rival.close()))
    const { rows } = await session.query<{ held: number }>(
      'SELECT count(*)::int AS held FROM elect.leases WHERE expires_at IS NULL AND holder IS NOT NULL',
    )
    expect(rows[0]?.held).toBe(0)
    await session.query(`SELECT pg_sleep(extract(epoch FROM greatest(
      (SELECT max(expires_at) FROM elect.leases), (SELECT max(expires_at) FROM elect.candidates), clock_timestamp()) - clock_timestamp()))`)
    await session.query(`SELECT elect.prune_leases('0')`)
    expect(await rowsLeft()).toEqual({ leases: 0, shared: 0, candidates: 0 })
  })
})
