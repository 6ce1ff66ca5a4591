/**
 * Leaders that are paused (SIGSTOP) at a random moment for longer than their TTL, and go on when another leads. PAUSES: how many; SEED: at
 * which moments.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PgElect } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { createFence, fenceOf, writeGuarded } from '../support/fence.ts'
import { Longest } from '../support/longest.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { machineMs, type PausedCommand, type PausedReport } from './paused.ts'

const TTL_MS = 1_000
/** From resuming to the abort, where the machine has other things to do. It is 50 ms where it has not. */
const ABORT_MS = 500

const script = fileURLToPath(new URL('paused-leader.ts', import.meta.url))

/** A leader that can be paused. What it says is kept until somebody asks. */
class PausedLeader {
  readonly process: ChildProcess
  readonly #reports: PausedReport[] = []
  #look = () => {}

  constructor(connectionString: string) {
    this.process = fork(script, [connectionString, String(TTL_MS)], { execArgv: ['--import', 'tsx'] })
    this.process.on('message', (report: PausedReport) => {
      this.#reports.push(report)
      this.#look()
    })
    this.process.on('exit', (code, signal) => {
      this.#reports.push({ failed: `ended by itself: ${code ?? signal}` })
      this.#look()
    })
  }

  tell(command: PausedCommand): void {
    this.process.send(command)
  }

  /** The next report of that kind; those before it are passed over. */
  async says<Kind extends keyof PausedReport>(kind: Kind): Promise<NonNullable<PausedReport[Kind]>> {
    for (;;) {
      const report = this.#reports.shift()
      if (report?.failed !== undefined) throw new Error(report.failed)
      const found = report?.[kind]
      if (found !== undefined) return found
      if (report === undefined) {
        await new Promise<void>((resolve) => {
          this.#look = resolve
        })
      }
    }
  }
}

let database: TestDatabase
let session: pg.Client
const leaders: PausedLeader[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  await createFence(session)
})
afterAll(async () => {
  for (const { process } of leaders) process.kill('SIGKILL')
  await database.drop()
})

/** @returns what was wrong */
async function pause(
  leader: PausedLeader,
  other: PgElect,
  name: string,
  random: () => number,
  longest: Longest,
) {
  const wrong: string[] = []
  const looks = random() < 0.5
  leader.tell({ lead: { name, looks } })
  const { token } = await leader.says('leads')
  const succession = other.election(name).campaign()
  await delay(random() * TTL_MS)

  leader.process.kill('SIGSTOP')
  const pausedAtMs = machineMs()
  const successor = await succession
  const tookMs = machineMs() - pausedAtMs
  const writer = await database.connect()
  if (!(await writeGuarded(writer, name, successor.token))) wrong.push('the successor may not write')
  await writer.end()
  const before = await fenceOf(session, name)
  // Half of them go on at once, when there is least time for anything to have settled.
  if (random() < 0.5) await delay(random() * 200)
  const resumedAtMs = machineMs()
  leader.process.kill('SIGCONT')
  const stopped = await leader.says('stopped')
  leader.tell({ tell: true })
  const told = await leader.says('told')

  if (stopped.token !== token || successor.token <= token) wrong.push('the tokens do not grow')
  if (stopped.isHeld) wrong.push('it is held after its signal has aborted')
  for (const { heldAtMs } of [stopped, told]) {
    if (heldAtMs > resumedAtMs) wrong.push(`isHeld was true ${heldAtMs - resumedAtMs} ms after resuming`)
  }
  // Negative where a busy machine had it lose the lease before it was paused.
  const abortMs = stopped.atMs - resumedAtMs
  if (abortMs > ABORT_MS) wrong.push(`the signal aborted ${abortMs} ms after resuming`)
  // What it was at when it was paused has failed; and nobody else writes here.
  const after = await fenceOf(session, name)
  if (after.writes > before.writes) wrong.push(`${after.writes - before.writes} writes after the successor's`)
  if (after.stale > 0) wrong.push(`${after.stale} stale writes`)
  longest.see({
    [looks ? 'abort after resuming (looked at)' : 'abort after resuming (by itself)']: abortMs,
    'new leader after the pause': tookMs,
  })
  await successor.release()
  return { wrong, writes: before.writes, looks: told.looks }
}

const pauses = scaled(10, 'PAUSES')
const LANES = 2

test(
  `a leader that was paused past its TTL leads no more when it goes on, SEED=${seed} PAUSES=${pauses}`,
  timeoutFor(pauses, 4 * TTL_MS),
  async () => {
    const longest = new Longest()
    const failures: string[] = []
    const total = { writes: 0, looks: 0 }
    let begun = 0
    const lane = async () => {
      const leader = new PausedLeader(database.connectionString)
      leaders.push(leader)
      const { connectionString } = database
      await using other = new PgElect({ connectionString, ttlMs: TTL_MS, logger: silent })
      while (begun < pauses) {
        const number = begun++
        const random = seededRandom(seed + number)
        const { wrong, writes, looks } = await pause(leader, other, `pause ${number}`, random, longest)
        failures.push(...wrong.map((what) => `pause ${number}: ${what}`))
        total.writes += writes
        total.looks += looks
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    console.log(
      `SEED=${seed} PAUSES=${pauses} TTL ${TTL_MS} ms: ${total.looks} looks, ${total.writes} guarded writes; longest: ${longest}`,
    )
    expect(failures).toEqual([])
    expect(total.writes).toBeGreaterThan(pauses)
  },
)
