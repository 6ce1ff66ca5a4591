import { describe, expect, test } from 'vitest'
import { candidate, held, timesOf } from './support/candidate.ts'
import { ModelLeases } from './support/model-leases.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

const TTL_MS = 15_000
/** Longer than any retry, shorter than a beat. */
const SOON_MS = 1000
/** What was handed over and is not taken up is given to the next after that. */
const ACCEPT_MS = 2000

/** A leader, and one process behind a pooler. */
async function setUp(listensElsewhere: boolean, ttlMs = TTL_MS) {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const leader = new StubProcess({ clock, model, ttlMs: TTL_MS })
  const lease = await leader.lease('job', 'leader')
  const process = new StubProcess({ clock, model, ttlMs, isBehindPooler: true, listensElsewhere })
  /** Which session is told of a hand-off to that candidate. */
  const told = (holder = 'me') => model.line.waiting('job', holder)?.backend
  const ears = () => process.context.line.backend
  return { clock, model, lease, process, told, ears }
}

describe('a candidate behind a pooler', () => {
  test('looks often enough to take up what it is handed', async () => {
    for (let atMs = 0; atMs < 6000; atMs += 370) {
      const { clock, lease, process } = await setUp(false)
      const { state } = candidate(process)
      await clock.advance(atMs)
      await lease.release()
      await clock.advance(500)
      expect(held(state.lease).isHeld, `released after ${atMs} ms`).toBe(true)
      expect(process.database.callsOf('listen_here')).toEqual([])
    }
  })

  test('looks more often where it would have less time to take it up', async () => {
    for (let atMs = 0; atMs < 1000; atMs += 37) {
      const { clock, lease, process } = await setUp(false, 400)
      const { state } = candidate(process)
      await clock.advance(atMs)
      await lease.release()
      await clock.advance(100)
      expect(held(state.lease).isHeld, `released after ${atMs} ms`).toBe(true)
    }
  })

  test('writes no more than one beside a server', async () => {
    const { clock, process } = await setUp(false)
    candidate(process)
    await clock.advance(60_000)
    expect(timesOf(process, 'acquire_lease')).toHaveLength(1)
    expect(timesOf(process, 'refresh_candidates').length).toBeLessThan(15)
    expect(timesOf(process, 'get_candidacy').length).toBeLessThan(60 * 2 + 20)
  })
})

describe('a candidate that listens elsewhere', () => {
  test('has the database tell it there, soon after it has come', async () => {
    const { clock, process, told, ears } = await setUp(true)
    candidate(process)
    await clock.settle()
    expect(ears()).toBeDefined()
    expect(told()).toBe(process.backend)
    await clock.advance(SOON_MS)
    expect(told()).toBe(ears())
  })

  test('says so at once where it is listened to already', async () => {
    const { clock, process, told, ears } = await setUp(true)
    candidate(process)
    await clock.advance(SOON_MS)
    candidate(process, 'other')
    await clock.settle()
    expect(told('other')).toBe(ears())
  })

  test('is handed the lease in the moment of the release, and looks no more than one beside a server', async () => {
    const { clock, lease, process } = await setUp(true)
    const { state } = candidate(process)
    await clock.advance(60_000)
    expect(timesOf(process, 'get_candidacy').length).toBeLessThan(40)
    await lease.release()
    await clock.settle()
    expect(held(state.lease).isHeld).toBe(true)
  })

  test('is told in the next session when one is lost, and looks meanwhile', async () => {
    const { clock, lease, process, told, ears } = await setUp(true)
    const { state } = candidate(process)
    await clock.advance(SOON_MS)
    const before = ears()
    process.ears.emit('lost')
    expect(ears()).toBeUndefined()
    await clock.advance(SOON_MS)
    expect(ears()).not.toBe(before)
    expect(told()).toBe(ears())
    await lease.release()
    await clock.settle()
    expect(held(state.lease).isHeld).toBe(true)
  })

  // Told in a session that is gone, it would not hear of it before its next beat, when it has been given to the next one.
  test('takes up what it is handed, whenever the connection for LISTEN is lost', async () => {
    for (let atMs = 0; atMs < 6000; atMs += 230) {
      for (const laterMs of [0, 1, 100, 400, 700]) {
        const { clock, model, lease, process } = await setUp(true)
        const { state } = candidate(process)
        await clock.advance(atMs)
        process.ears.emit('lost')
        await clock.advance(laterMs)
        await lease.release()
        await clock.advance(ACCEPT_MS)
        const when = `lost after ${atMs} ms, released ${laterMs} ms later`
        expect(held(state.lease).isHeld, when).toBe(true)
        expect(model.grants, when).toHaveLength(2)
      }
    }
  })

  test('is told in the right one also if that changes while it asks', async () => {
    const { clock, process, told, ears } = await setUp(true)
    candidate(process, 'first')
    await clock.advance(SOON_MS)
    const acquire = process.model.answers(() => process.backend).acquire_lease as (call: unknown) => object[]
    const asking = process.database.hold('acquire_lease')
    candidate(process, 'second')
    const { call, answer } = await asking
    const rows = acquire(call)
    process.ears.emit('lost')
    await clock.advance(SOON_MS)
    expect(told('second')).not.toBe(ears())
    answer(...rows)
    await clock.advance(SOON_MS)
    expect(told('second')).toBe(ears())
  })

  test('is told in the right one also if that changes during a beat', async () => {
    const { clock, process, told, ears } = await setUp(true)
    candidate(process)
    await clock.advance(SOON_MS)
    // The beat names the session of now; its answer comes after that is gone.
    const answers = process.model.answers(() => process.backend)
    const refresh = answers.refresh_candidates as (call: unknown) => object[]
    const beating = process.database.hold('refresh_candidates')
    await clock.advance(TTL_MS / 3)
    const { call, answer } = await beating
    const rows = refresh(call)
    process.ears.emit('lost')
    await clock.advance(SOON_MS)
    answer(...rows)
    await clock.advance(SOON_MS)
    expect(ears()).toBeDefined()
    expect(told()).toBe(ears())
  })
})
