/**
 * Leaders whose heartbeat has a thread, and whose event loop is blocked at a random moment for a random time, from nothing to far longer
 * than `hangTimeoutMs`; some are stopped (SIGSTOP) in the midst of it. They look at `isHeld` all the while. BLOCKS: how many; SEED: when,
 * and for how long.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Lease, PgElect } from '../../../src/index.ts'
import { type Compiled, compile, startHolder } from '../../integration/client/hanging/processes.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { Longest } from '../support/longest.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'

const TTL_MS = 3_000
const HANG_MS = 4_000
/** Blocks up to this are survived where the machine has time to spare. */
const SURVIVED_MS = 0.85 * HANG_MS
/** In which a leader that hangs is succeeded, with a second for a busy machine. */
const SUCCEEDED_MS = HANG_MS + TTL_MS + 1_000

let database: TestDatabase
let compiled: Compiled
let session: pg.Client
beforeAll(async () => {
  ;[database, compiled] = await Promise.all([createTestDatabase(), compile()])
  session = await database.connect()
})
afterAll(async () => {
  await database.drop()
  await compiled[Symbol.asyncDispose]()
})

async function sessionsOf(application: string): Promise<number> {
  const { rows } = await session.query(`SELECT pid FROM pg_stat_activity WHERE application_name = $1`, [
    application,
  ])
  return rows.length
}

interface Outcome {
  readonly wrong: string[]
  /** Whether it had to be kept, and was. */
  readonly kept: boolean | undefined
  readonly isHung: boolean
}

async function block(
  rival: PgElect,
  lease: string,
  random: () => number,
  longest: Longest,
): Promise<Outcome> {
  const wrong: string[] = []
  const { connectionString } = database
  const holder = startHolder(compiled, {
    lease,
    options: {
      connectionString,
      connection: { application_name: lease },
      ttlMs: TTL_MS,
      heartbeat: 'worker',
      hangTimeoutMs: HANG_MS,
    },
  })
  const { token } = await holder.reported('held')
  // The thread is up: a process that has just begun has no more than its first TTL.
  while ((await sessionsOf(lease)) < 2) await delay(20)
  let successor: Lease | undefined
  const succession = rival.acquire(lease).then((granted) => {
    successor = granted
    return granted
  })
  await delay(random() * TTL_MS)
  // As many short ones as long ones.
  const forMs = random() < 0.5 ? random() * SURVIVED_MS : SURVIVED_MS + random() * 1.5 * SUCCEEDED_MS
  const stop = random() < 0.3 ? { afterMs: random() * forMs, forMs: random() * 2 * TTL_MS } : undefined
  holder.tell({ kind: 'block', forMs, lookEveryMs: 3 })
  await holder.reported('blocking')
  const blockedAtMs = performance.now()
  if (stop !== undefined) {
    await delay(stop.afterMs)
    holder.process.kill('SIGSTOP')
    await delay(stop.forMs)
    holder.process.kill('SIGCONT')
  }
  const isHung = forMs > SUCCEEDED_MS
  if (isHung) {
    await succession
    longest.see({ 'new leader after a hang began': performance.now() - blockedAtMs })
    if (holder.reports.some(({ event }) => event === 'unblocked')) wrong.push('it was not succeeded in time')
  }
  const after = await holder.reported('unblocked')
  const { rows } = await session.query(
    `SELECT token::float8, (extract(epoch FROM acquired_at) * 1000)::float8 AS at_ms FROM elect.get_lease($1)`,
    [lease],
  )
  const [row] = rows
  if (row !== undefined && row.token > token && after.heldAtMs > row.at_ms) {
    wrong.push(`isHeld was true ${after.heldAtMs - row.at_ms} ms after another was granted the lease`)
  }
  if (after.isHeld && isHung) wrong.push('it is held after a hang')
  if (after.isHeld === after.isAborted) wrong.push('isHeld and the signal do not agree')
  holder.tell({ kind: 'close' })
  const granted = successor ?? (await succession)
  if (granted.token <= token) wrong.push('the tokens do not grow')
  await granted.release()
  await holder.reported('closed')
  holder.process.disconnect()
  const mustBeKept = forMs <= SURVIVED_MS && stop === undefined
  return { wrong, kept: mustBeKept ? after.isHeld : undefined, isHung }
}

const blocks = scaled(5, 'BLOCKS')
const LANES = 2

test(
  `no leader believes to lead after another was granted its lease, however long it is blocked, SEED=${seed} BLOCKS=${blocks}`,
  timeoutFor(blocks, 2 * SUCCEEDED_MS + 6 * TTL_MS),
  async () => {
    const longest = new Longest()
    const failures: string[] = []
    const seen = { survivable: 0, kept: 0, hung: 0 }
    let begun = 0
    const lane = async () => {
      const { connectionString } = database
      await using rival = new PgElect({ connectionString, ttlMs: TTL_MS, logger: silent })
      while (begun < blocks) {
        const number = begun++
        const outcome = await block(rival, `block ${number}`, seededRandom(seed + number), longest)
        failures.push(...outcome.wrong.map((what) => `block ${number}: ${what}`))
        if (outcome.kept !== undefined) seen.survivable += 1
        if (outcome.kept === true) seen.kept += 1
        if (outcome.isHung) seen.hung += 1
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    console.log(
      `SEED=${seed} BLOCKS=${blocks} TTL ${TTL_MS} ms, hangTimeoutMs ${HANG_MS}: ${seen.kept} of ${seen.survivable} short blocks survived, ${seen.hung} hung; longest: ${longest}`,
    )
    expect(failures).toEqual([])
    // A machine that is busy for a TTL can cost a lease, but hardly all of them.
    if (seen.survivable > 2) expect(seen.kept).toBeGreaterThan(0)
  },
)
