import { describe, expect, test } from 'vitest'
import { candidate, held, inLine, timesOf, unhear } from './support/candidate.ts'
import { ModelLeases } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { vacantRow, waitingRow } from './support/rows.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

/** One who stands in line as a test says. */
async function standing(stands: { rank: number; expiresAtMs: number | null }, ttlMs = 15_000) {
  const process = new StubProcess({ ttlMs })
  const { clock, database } = process
  const asIt = () => {
    const { rank, expiresAtMs } = stands
    const expiresInMs = (expiresAtMs ?? 0) - clock.trueMs
    // Then somebody else has it.
    return [waitingRow(rank, 'other', expiresAtMs === null ? null : expiresInMs > 0 ? expiresInMs : 600_000)]
  }
  for (const name of ['acquire_lease', 'get_candidacy', 'refresh_candidates']) database.always(name, asIt)
  candidate(process)
  await clock.settle()
  return { process, stands }
}

describe('a candidate that has a place in line', () => {
  test('looks instead of asking, and refreshes its place, for as long as it waits', async () => {
    const { clock, model, first } = await inLine()
    await clock.advance(300_000)
    expect(timesOf(first.process, 'acquire_lease')).toEqual([0])
    expect(model.line.candidates('job')).toEqual(['candidate 0'])
    // A beat each 4.75 s. The look is the one with which listening began: each refresh says how it stands, and that is as good.
    expect(timesOf(first.process, 'refresh_candidates').length).toBe(63)
    expect(timesOf(first.process, 'get_candidacy')).toEqual([0])
    expect(first.process.log.complaints).toEqual([])
  })

  test("behind two looks no more either, and listens to its session's channel alone", async () => {
    const { clock, all } = await inLine(5)
    await clock.advance(300_000)
    for (const { process } of all.slice(2)) {
      expect(timesOf(process, 'get_candidacy')).toEqual([0])
      expect(timesOf(process, 'listen_here')).toEqual([0])
      expect(timesOf(process, 'listen')).toEqual([])
      expect(timesOf(process, 'unlisten')).toEqual([])
    }
  })

  test('of a lease that nobody renews, as it does not expire, does not look either', async () => {
    const { process } = await standing({ rank: 3, expiresAtMs: null })
    await process.clock.advance(150_000)
    expect(timesOf(process, 'refresh_candidates').length).toBeGreaterThanOrEqual(30)
    expect(timesOf(process, 'get_candidacy')).toEqual([0])
  })

  test('that is second looks between its refreshes, in case the first was handed the lease and is dead', async () => {
    const { process } = await standing({ rank: 1, expiresAtMs: 600_000 })
    await process.clock.advance(9499)
    // From the first look on, and from the refresh at 4,750.
    expect(timesOf(process, 'get_candidacy')).toEqual([0, 1500, 3000, 4500, 6250, 7750, 9250])
  })

  test.each([
    ['sooner, as it ends sooner', { rank: 2, expiresAtMs: 6000 }, 6502],
    ['sooner, as it is first now', { rank: 0, expiresAtMs: 20_000 }, 20_002],
    ['later, as it was renewed', { rank: 2, expiresAtMs: 40_000 }, 40_502],
  ])('learns by a refresh that it is to look %s', async (_when, then, atMs) => {
    const { process, stands } = await standing({ rank: 2, expiresAtMs: 20_000 })
    await process.clock.advance(4000)
    Object.assign(stands, then)
    await process.clock.advance(atMs - 4001)
    expect(timesOf(process, 'get_candidacy')).toEqual([0])
    await process.clock.advance(1)
    expect(timesOf(process, 'get_candidacy')).toEqual([0, atMs])
  })

  test('does not put off its turn at a vacant lease at each refresh, however often they come', async () => {
    const { process } = await standing({ rank: 1, expiresAtMs: 20_000 }, 300)
    process.database.always('refresh_candidates', [vacantRow(1)])
    process.database.always('get_candidacy', [vacantRow(1)])
    await process.clock.advance(1000)
    expect(timesOf(process, 'refresh_candidates').length).toBeGreaterThan(8)
    expect(timesOf(process, 'acquire_lease').length).toBeGreaterThan(1)
  })

  test('is handed the lease at its release, in the order of priority and arrival', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    const leader = new StubProcess({ clock, model })
    let lease = await leader.lease('job', 'leader')
    const waiting = []
    for (const [holder, priority] of [
      ['early', 0],
      ['late', 0],
      ['low', -1],
      ['high', 5],
    ] as const) {
      const process = new StubProcess({ clock, model })
      waiting.push({ holder, ...candidate(process, holder, priority) })
      await clock.advance(10)
    }
    for (const holder of ['high', 'early', 'late', 'low']) {
      await lease.release()
      await clock.settle()
      const elected = waiting.filter(({ state }) => state.lease?.isHeld === true)
      expect(elected.map((one) => one.holder)).toEqual([holder])
      lease = held(elected[0]?.state.lease)
    }
    expect(model.grants).toHaveLength(5)
    expect(clock.trueMs).toBe(40)
  })

  test('asks again, and has a place again, when it is gone: the line does not survive a crash of the server', async () => {
    const { clock, model, first } = await inLine()
    await clock.advance(1000)
    model.line.leave('job', 'candidate 0')
    await clock.advance(4000)
    expect(model.line.candidates('job')).toEqual(['candidate 0'])
    expect(timesOf(first.process, 'acquire_lease')).toHaveLength(2)
    expect(first.process.log.complaints).toEqual([])
  })

  test('asks again after a failure, and keeps its place by that', async () => {
    const { clock, model, first, all } = await inLine(2)
    await clock.advance(1000)
    first.process.database.next('get_candidacy', connectionLost())
    first.process.database.emit('lost')
    await clock.advance(1000)
    expect(timesOf(first.process, 'acquire_lease')).toHaveLength(2)
    expect(model.line.candidates('job')).toEqual(['candidate 0', 'candidate 1'])
    expect(timesOf(all[1]?.process as StubProcess, 'acquire_lease')).toHaveLength(1)
  })

  test('of a lost session is told in the next one', async () => {
    const { clock, lease, first } = await inLine()
    await clock.advance(1000)
    first.process.database.emit('lost')
    // Both the place and the LISTEN are renewed within a retry interval.
    await clock.advance(500)
    const calls = first.process.database.calls.length
    await clock.advance(500)
    expect(first.process.database.calls).toHaveLength(calls)
    await lease.release()
    await clock.settle()
    expect(first.state.lease?.isHeld).toBe(true)
  })

  test('stands in line for nothing where this process has the advisory lock of that name', async () => {
    const process = new StubProcess()
    let isLocked = true
    Object.assign(process.context, { isLockedHere: () => isLocked })
    const { state } = candidate(process)
    await process.clock.advance(1000)
    expect(process.database.calls).toEqual([])
    isLocked = false
    await process.clock.advance(150)
    expect(state.lease?.isHeld).toBe(true)
  })
})

describe('a candidate that would not hear of a hand-off', () => {
  test('looks every half a second', async () => {
    const { clock, model, all } = await inLine(3)
    const deaf = new StubProcess({ clock, model })
    deaf.database.always('listen_here', connectionLost())
    candidate(deaf, 'deaf')
    await clock.advance(3000)
    expect(timesOf(deaf, 'get_candidacy')).toEqual([500, 1000, 1500, 2000, 2500, 3000])
    expect(timesOf(deaf, 'acquire_lease')).toEqual([0])
    // One that hears has looked once, as its LISTEN came into force.
    expect(timesOf(all[2]?.process as StubProcess, 'get_candidacy')).toEqual([0])
  })

  test('finds it by that well within the accept time', async () => {
    const { clock, lease, first, model } = await inLine()
    await first.process.database.emit('lost')
    first.process.database.always('listen_here', connectionLost())
    await clock.advance(1700)
    unhear(first.process)
    await lease.release()
    await clock.advance(500)
    expect(held(first.state.lease).isHeld).toBe(true)
    expect(model.grants).toHaveLength(2)
  })

  // It sleeps until the expiry that it foresees, and the LISTEN was in force when it lay down.
  test('because its session was lost while it slept begins to look soon, wherever it stands', async () => {
    const { clock, all } = await inLine(3)
    const last = all[2]?.process as StubProcess
    await clock.advance(1000)
    last.database.always('listen_here', connectionLost())
    last.database.emit('lost')
    await clock.advance(3000)
    const looks = timesOf(last, 'get_candidacy').filter((at) => at > 1000)
    expect(looks.length).toBeGreaterThanOrEqual(5)
    expect(looks[0]).toBeLessThanOrEqual(1500)
  })

  test('is quiet again once it hears', async () => {
    const { clock, all } = await inLine(3)
    const last = all[2]?.process as StubProcess
    await clock.advance(1000)
    last.database.next('listen_here', connectionLost(), connectionLost())
    last.database.emit('lost')
    await clock.advance(4000)
    const looks = timesOf(last, 'get_candidacy').length
    await clock.advance(4000)
    expect(timesOf(last, 'get_candidacy')).toHaveLength(looks)
  })
})

describe('the expiry of a lease', () => {
  test('lets the first in just after it', async () => {
    const { clock, leader, first, all } = await inLine(3)
    leader.database.network = () => new Promise(() => {})
    await clock.advance(15_001)
    expect(first.state.lease).toBeUndefined()
    await clock.advance(1)
    expect(first.state.lease?.isHeld).toBe(true)
    await clock.advance(1000)
    expect(all.map(({ state }) => state.lease?.isHeld)).toEqual([true, undefined, undefined])
  })

  test.each([1, 2, 3])(
    'lets in the next one after %i who are dead, a quarter of a second later for each',
    async (dead) => {
      const { clock, leader, all, model } = await inLine(5)
      await clock.advance(4800)
      leader.database.network = () => new Promise(() => {})
      const expiresAtMs = model.holding('job')?.expiresAtMs ?? 0
      await clock.advance(9000)
      for (const { process } of all.slice(0, dead)) process.database.network = () => new Promise(() => {})
      await clock.advance(expiresAtMs + 2 + 250 * dead - clock.trueMs - 1)
      expect(model.grants).toHaveLength(1)
      await clock.advance(1)
      expect(model.grants.at(-1)).toMatchObject({ holder: `candidate ${dead}`, atMs: clock.trueMs })
      expect(all[dead]?.state.lease?.isHeld).toBe(true)
    },
  )
})
