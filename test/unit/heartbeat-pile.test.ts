import { describe, expect, test } from 'vitest'
import { BusyError, ConnectionError } from '../../src/errors.ts'
import { serverError } from './support/pg-errors.ts'
import { seededRandom } from './support/random.ts'
import { busyRow, grantedRow } from './support/rows.ts'
import { type Answer, NEVER } from './support/scripted-database.ts'
import { StubProcess } from './support/stub-process.ts'

// A slow or full server: renewals are tried until the deadline, one at a time, and never piled up.

const DEADLINE_MS = 14_000
const sick: [string, Answer][] = [
  ['never answers', NEVER],
  ['has no connection left', serverError('53300', 'sorry, too many clients already')],
  ['answers neither yes nor no', ({ arguments: asked }) => (asked.tokens as number[]).map(() => busyRow())],
]

function setUp(seed: number) {
  const process = new StubProcess({ random: seededRandom(seed) })
  const renewals = () => process.database.callsOf('renew_leases')
  const atOnce = () => process.database.inFlightMax('renew_leases')
  return { process, ...process, renewals, atOnce }
}

describe.each(sick)('while the server %s', (_what, answer) => {
  test('renewals go on until the deadline, one at a time, and then stop', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { process, clock, database, timing, renewals, atOnce } = setUp(seed)
      const lease = await process.lease()
      const startMs = clock.trueMs
      database.always('renew_leases', answer)
      await clock.advance(DEADLINE_MS - 1)
      expect(lease.isHeld).toBe(true)
      const sentAtMs = renewals().map((call) => call.sentAtMs - startMs)
      // From the first beat on nobody ever waits for longer than one attempt and one pause.
      const waitsMs = [...sentAtMs, DEADLINE_MS].map((sent, place) => sent - (sentAtMs[place - 1] ?? 0))
      expect(Math.max(...waitsMs.slice(1))).toBeLessThanOrEqual(
        timing.queryTimeoutMs + 1.1 * timing.retryIntervalMs + 2,
      )
      expect(sentAtMs.length).toBeGreaterThanOrEqual(3)
      expect(atOnce()).toBe(1)
      await clock.advance(1)
      expect(lease.isHeld).toBe(false)
      expect(lease.signal.aborted).toBe(true)
      const tried = renewals().length
      await clock.advance(60_000)
      expect(renewals().length).toBe(tried)
    }
  })

  test('nothing makes a second one go beside it: no renew(), no lost connection, no new lease', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { process, clock, database, heartbeat, renewals, atOnce } = setUp(seed)
      const random = seededRandom(seed)
      const lease = await process.lease()
      database.always('renew_leases', answer)
      const asked: Promise<unknown>[] = []
      for (let step = 0; step < 200; step++) {
        await clock.advance(random() * 100)
        const choice = random()
        if (choice < 0.5 && lease.isHeld) asked.push(lease.renew().catch((error: unknown) => error))
        else if (choice < 0.8) heartbeat.hurry()
        else if (choice < 0.85) asked.push(process.lease(`other ${step}`).catch((error: unknown) => error))
        expect(database.inFlight('renew_leases')).toBeLessThanOrEqual(1)
      }
      expect(atOnce()).toBe(1)
      expect(renewals().length).toBeGreaterThan(2)
      // Nobody who asked is left without an answer.
      await clock.advance(60_000)
      for (const outcome of await Promise.all(asked)) expect(outcome).toBeDefined()
    }
  })
})

describe('renew() while a renewal is under way', () => {
  test('waits for that, then goes once for all who have asked, with what is due', async () => {
    const { process, clock, database, renewals } = setUp(1)
    const [one, two] = [await process.lease('one'), await process.lease('two')]
    const slow = database.hold('renew_leases')
    await clock.advance(5000)
    const asked = [one.renew(), one.renew(), two.renew()]
    await clock.settle()
    expect(renewals()).toHaveLength(1)
    ;(await slow).answer(grantedRow(one.token), grantedRow(two.token))
    await Promise.all(asked)
    expect(renewals().map((call) => call.arguments.names)).toEqual([
      ['one', 'two'],
      ['one', 'two'],
    ])
    expect(one.remainingMs).toBe(DEADLINE_MS)
  })

  test('tells each who asked what became of it', async () => {
    const { process, clock, database } = setUp(1)
    const [one, two] = [await process.lease('one'), await process.lease('two')]
    database.next('renew_leases', [grantedRow(one.token), busyRow()])
    const outcomes = await Promise.all(
      [one, two].map((lease) => lease.renew().catch((error: unknown) => error)),
    )
    // The first went at once, and alone.
    expect(outcomes).toEqual([undefined, undefined])
    database.next('renew_leases', [grantedRow(one.token)], [busyRow()])
    const again = await Promise.all([one, two].map((lease) => lease.renew().catch((error: unknown) => error)))
    expect(again).toEqual([undefined, expect.any(BusyError)])
    database.always('renew_leases', NEVER)
    const failing = [one, two].map((lease) => lease.renew().catch((error: unknown) => error))
    await clock.advance(8000)
    expect(await Promise.all(failing)).toEqual([expect.any(ConnectionError), expect.any(ConnectionError)])
  })

  test('again and again keeps nobody else from being renewed', async () => {
    const { process, clock, database, heartbeat } = setUp(1)
    const [greedy, quiet] = [await process.lease('greedy'), await process.lease('quiet')]
    const answer = database.network
    database.network = async (serve) => {
      await new Promise<void>((resolve) => clock.setTimer(resolve, 10))
      return answer(serve)
    }
    let isOver = false
    const renewing = (async () => {
      while (!isOver) await greedy.renew()
    })()
    await clock.advance(30_000)
    expect(quiet.isHeld).toBe(true)
    expect(quiet.remainingMs).toBeGreaterThan(8000)
    isOver = true
    await clock.advance(100)
    await renewing
    heartbeat.remove(greedy)
  })
})
