import { describe, expect, test } from 'vitest'
import { Heartbeat, type Renewable } from '../../src/heartbeat.ts'
import type { Random } from '../../src/jitter.ts'
import type { LeaseAnswer } from '../../src/queries.ts'
import { resolveTiming, type TimingOptions } from '../../src/timing.ts'
import { connectionLost } from './support/pg-errors.ts'
import { ALMOST_ONE, seededRandom } from './support/random.ts'
import { RecordingLog } from './support/recording-log.ts'
import { busyRow, grantedRow, refusedRow } from './support/rows.ts'
import { type Answer, ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

/** Beats 5 s apart, retries half a second apart. */
const TTL_MS = 15_000

interface StubLease extends Renewable {
  /** When each renewal that came through was sent. */
  readonly extensions: number[]
  readonly refusals: LeaseAnswer[]
}

const renewAll: Answer = ({ arguments: asked }) =>
  (asked.tokens as number[]).map((token) => grantedRow(token))

function setUp({ random = () => 0 }: { random?: Random } = {}) {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, { renew_leases: renewAll })
  database.keepsTimeouts = false
  const log = new RecordingLog()
  const heartbeat = new Heartbeat({ executor: database, clock, random, logger: log.logger })
  const startMs = clock.now().monotonicMs
  let lastToken = 0
  const lease = (name: string, timing: TimingOptions = { ttlMs: TTL_MS }): StubLease => {
    lastToken += 1
    const extensions: number[] = []
    const refusals: LeaseAnswer[] = []
    return {
      name,
      token: lastToken,
      timing: resolveTiming(timing),
      extensions,
      refusals,
      extended: (sentAt) => void extensions.push(sentAt.monotonicMs - startMs),
      refused: (answer) => void refusals.push(answer),
    }
  }
  const beats = () => database.callsOf('renew_leases')
  const beatTimes = () => beats().map(({ sentAtMs }) => sentAtMs)
  const beatNames = () => beats().map((call) => call.arguments.names)
  return { clock, database, log, heartbeat, lease, beats, beatTimes, beatNames }
}

describe('a busy process', () => {
  test('that is granted ten thousand leases does not set a timer for each', () => {
    const { clock, heartbeat, lease } = setUp({ random: seededRandom(1) })
    let set = 0
    const setTimer = clock.setTimer.bind(clock)
    clock.setTimer = (callback, delayMs) => {
      set += 1
      return setTimer(callback, delayMs)
    }
    const leases = Array.from({ length: 10_000 }, (_, place) => lease(`lease ${place}`))
    for (const one of leases) heartbeat.add(one)
    // Only for those that are due earlier than all before.
    expect(set).toBeLessThan(40)
    expect(clock.pendingTimers).toBe(1)
    for (const one of leases) heartbeat.remove(one)
    expect(clock.pendingTimers).toBe(0)
  })

  test('whose earliest lease is given back renews the others in their own time', async () => {
    const { clock, heartbeat, lease, beatTimes, beatNames } = setUp()
    const first = lease('first')
    heartbeat.add(first)
    await clock.advance(1000)
    heartbeat.add(lease('second'))
    heartbeat.remove(first)
    await clock.advance(10_000)
    expect(beatTimes()).toEqual([6000, 11_000])
    expect(beatNames()).toEqual([['second'], ['second']])
  })
})

describe('a beat', () => {
  test('is counted from when the one before was sent, however long its answer took', async () => {
    const { clock, database, heartbeat, lease, beatTimes } = setUp()
    heartbeat.add(lease('slow'))
    const held = database.hold('renew_leases')
    await clock.advance(5000)
    await clock.advance(300)
    ;(await held).answer(grantedRow(1))
    await clock.advance(6000)
    expect(beatTimes()).toEqual([5000, 10_000])
  })

  test('renews a thousand leases by one statement', async () => {
    const { clock, heartbeat, lease, beats } = setUp({ random: seededRandom(1) })
    const leases = Array.from({ length: 1000 }, (_, place) => lease(`lease ${place}`))
    for (const one of leases) heartbeat.add(one)
    await clock.advance(5000)
    expect(beats()).toHaveLength(1)
    expect(beats()[0]?.arguments.names).toHaveLength(1000)
    expect(leases.every(({ extensions }) => extensions.length === 1)).toBe(true)
  })

  test('comes once an interval, for as long as there are leases', async () => {
    const { clock, heartbeat, lease, beatTimes } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    await clock.advance(20_000)
    expect(beatTimes()).toEqual([5000, 10_000, 15_000, 20_000])
    expect(one.extensions).toEqual([5000, 10_000, 15_000, 20_000])
    heartbeat.remove(one)
    expect(clock.pendingTimers).toBe(0)
  })

  test('takes leases along that are due within half of their interval, and no others', async () => {
    const { clock, heartbeat, lease, beatNames } = setUp()
    heartbeat.add(lease('first'))
    await clock.advance(2500)
    heartbeat.add(lease('soon'))
    await clock.advance(1)
    heartbeat.add(lease('later'))
    await clock.advance(2499)
    expect(beatNames()).toEqual([['first', 'soon']])
  })

  test('is one for all leases of an interval, from the second round on', async () => {
    const { clock, heartbeat, lease, beats } = setUp({ random: seededRandom(2) })
    for (let place = 0; place < 20; place++) {
      heartbeat.add(lease(`lease ${place}`))
      await clock.advance(377)
    }
    await clock.advance(10_000)
    const before = beats().length
    await clock.advance(50_000)
    const later = beats().slice(before)
    expect(later.length).toBeLessThanOrEqual(12)
    for (const call of later) expect(call.arguments.names).toHaveLength(20)
  })

  test('tells when it was sent, not when its answer came', async () => {
    const { clock, database, heartbeat, lease } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    const beat = database.hold('renew_leases')
    await clock.advance(8000)
    expect(one.extensions).toEqual([])
    ;(await beat).answer(grantedRow(one.token))
    await clock.settle()
    expect(one.extensions).toEqual([5000])
  })

  test('may stay unanswered for as long as the least patient of its leases allows', async () => {
    const { clock, heartbeat, lease, beats } = setUp()
    heartbeat.add(lease('patient', { ttlMs: TTL_MS, queryTimeoutMs: 4000 }))
    heartbeat.add(lease('not so', { ttlMs: TTL_MS, queryTimeoutMs: 700 }))
    await clock.advance(5000)
    expect(beats()).toMatchObject([{ timeoutMs: 700 }])
  })

  test.each([
    ['smallest', () => 0, 5000],
    ['middle', () => 0.5, 4750],
    ['largest', () => ALMOST_ONE, 4500],
  ])('is early by at most a tenth, never late: with the %s random number', async (_which, random, dueMs) => {
    const { clock, heartbeat, lease, beatTimes } = setUp({ random })
    heartbeat.add(lease('one'))
    await clock.advance(5000)
    // Timers fire at whole milliseconds.
    expect(beatTimes()).toHaveLength(1)
    expect(beatTimes()[0]).toBeGreaterThanOrEqual(dueMs)
    expect(beatTimes()[0]).toBeLessThan(dueMs + 1.001)
  })
})

describe('a beat that fails', () => {
  test('is followed by one retry an interval, until one comes through', async () => {
    const { clock, database, heartbeat, lease, log, beatTimes } = setUp({ random: () => 0.5 })
    const one = lease('one')
    heartbeat.add(one)
    database.next('renew_leases', ...Array.from({ length: 4 }, () => connectionLost()))
    await clock.advance(6750)
    expect(beatTimes()).toEqual([4750, 5250, 5750, 6250, 6750])
    expect(one.extensions).toEqual([6750])
    expect(log.messages('warn')).toHaveLength(4)
    await clock.advance(4750)
    expect(beatTimes()).toHaveLength(6)
  })

  test('is not followed by a storm, whatever the randomness', async () => {
    for (const random of [() => 0, () => ALMOST_ONE, seededRandom(3)]) {
      const { clock, database, heartbeat, lease, beats } = setUp({ random })
      heartbeat.add(lease('one'))
      heartbeat.add(lease('two'))
      database.always('renew_leases', connectionLost())
      await clock.advance(15_000)
      // 10 s of retries, 450 to 550 ms apart.
      expect(beats().length).toBeGreaterThanOrEqual(18)
      expect(beats().length).toBeLessThanOrEqual(26)
    }
  })

  test('leaves the other leases to their own time', async () => {
    const { clock, database, heartbeat, lease, beatNames } = setUp()
    heartbeat.add(lease('failing'))
    await clock.advance(4000)
    heartbeat.add(lease('other'))
    database.next('renew_leases', connectionLost())
    await clock.advance(1450)
    expect(beatNames()).toEqual([['failing'], ['failing']])
  })
})

test('two beats are never in flight', async () => {
  const { clock, database, heartbeat, lease, beats } = setUp()
  const [one, two] = [lease('one'), lease('two')]
  heartbeat.add(one)
  const held = database.hold('renew_leases')
  await clock.advance(5000)
  heartbeat.add(two)
  heartbeat.hurry()
  heartbeat.remove(two)
  heartbeat.add(two)
  await clock.advance(60_000)
  heartbeat.hurry()
  await clock.advance(60_000)
  expect(beats()).toHaveLength(1)
  expect(database.inFlightMax('renew_leases')).toBe(1)

  ;(await held).answer(grantedRow(one.token))
  await clock.advance(0)
  expect(beats()).toHaveLength(2)
  expect(two.extensions).toHaveLength(1)
})

describe('an answer', () => {
  test('of neither yes nor no is asked for again soon', async () => {
    const { clock, database, heartbeat, lease, beatTimes, log } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    database.next('renew_leases', [busyRow()])
    await clock.advance(5000)
    expect([one.extensions, one.refusals]).toEqual([[], []])
    await clock.advance(450)
    expect(beatTimes()).toEqual([5000, 5450])
    expect(one.extensions).toEqual([5450])
    expect(log.complaints).toEqual([])
  })

  test('that is missing is asked for again soon, too', async () => {
    const { clock, database, heartbeat, lease } = setUp()
    const [one, two] = [lease('one'), lease('two')]
    heartbeat.add(one)
    heartbeat.add(two)
    database.next('renew_leases', [grantedRow(one.token)])
    await clock.advance(5450)
    expect([one.extensions, two.extensions]).toEqual([[5000], [5450]])
  })

  test('of no ends the renewals of that lease, and of no other', async () => {
    const { clock, database, heartbeat, lease, beatNames } = setUp()
    const [lost, kept] = [lease('lost'), lease('kept')]
    heartbeat.add(lost)
    heartbeat.add(kept)
    database.next('renew_leases', [refusedRow('usurper'), grantedRow(kept.token)])
    await clock.advance(20_000)
    expect(lost.refusals).toMatchObject([{ granted: false, holder: 'usurper' }])
    expect(lost.extensions).toEqual([])
    expect(kept.extensions).toEqual([5000, 10_000, 15_000, 20_000])
    expect(beatNames()).toEqual([['lost', 'kept'], ['kept'], ['kept'], ['kept']])
  })

  test.each([
    ['yes', (token: number) => [grantedRow(token)]],
    ['neither', () => [busyRow()]],
    ['an error', () => connectionLost()],
  ])('of %s does not bring a lease back that was removed meanwhile', async (_answer, answer) => {
    const { clock, database, heartbeat, lease, beats } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    const held = database.hold('renew_leases')
    await clock.advance(5000)
    heartbeat.remove(one)
    const reply = answer(one.token)
    if (reply instanceof Error) (await held).fail(reply)
    else (await held).answer(...reply)
    await clock.advance(60_000)
    expect(beats()).toHaveLength(1)
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('hurry', () => {
  test.each([
    [0, 100],
    [0.5, 350],
    [0.999, 600],
  ])('renews all leases within a retry interval, by chance: at %d', async (chance, renewedAtMs) => {
    const { clock, heartbeat, lease, beatTimes, beatNames } = setUp({ random: () => chance })
    heartbeat.add(lease('one'))
    heartbeat.add(lease('two'))
    await clock.advance(100)
    heartbeat.hurry()
    await clock.advance(500)
    expect(beatTimes()).toEqual([renewedAtMs])
    expect(beatNames()).toEqual([['one', 'two']])
    await clock.advance(4000)
    expect(beatTimes()).toHaveLength(1)
  })

  test('makes nothing later than it was', async () => {
    const { clock, heartbeat, lease, beatTimes } = setUp({ random: () => 0.9 })
    heartbeat.add(lease('one'))
    await clock.advance(4500)
    heartbeat.hurry()
    await clock.advance(500)
    expect(beatTimes()).toEqual([4550])
  })

  test('does nothing where there is nothing to renew', async () => {
    const { clock, heartbeat, beats } = setUp()
    heartbeat.hurry()
    await clock.advance(1000)
    expect(beats()).toEqual([])
    expect(clock.pendingTimers).toBe(0)
  })

  // A server that lets clients in and ends each session at its first query, as a pooler before a dead server does.
  test('makes no storm where every session is lost after its first query', async () => {
    const { clock, database, heartbeat, lease, beats } = setUp({ random: seededRandom(4) })
    heartbeat.add(lease('one'))
    database.always('renew_leases', async () => {
      // The session ends a moment after the error was told.
      clock.setTimer(() => heartbeat.hurry(), 2)
      throw connectionLost()
    })
    await clock.advance(14_000)
    // Ten seconds of attempts that are half a retry interval apart on average.
    expect(beats().length).toBeLessThanOrEqual(50)
  })
})

describe('a renewal out of turn', () => {
  test('is sent at once and moves the next beat', async () => {
    const { clock, heartbeat, lease, beatTimes } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    await clock.advance(3000)
    await heartbeat.renewNow(one)
    expect(one.extensions).toEqual([3000])
    await clock.advance(5000)
    expect(beatTimes()).toEqual([3000, 8000])
  })

  test('that fails says so, and leaves the lease to its next beat', async () => {
    const { clock, database, heartbeat, lease, beatTimes } = setUp()
    const one = lease('one')
    heartbeat.add(one)
    await clock.advance(2000)
    database.next('renew_leases', connectionLost())
    await expect(heartbeat.renewNow(one)).rejects.toThrow('Connection terminated')
    await clock.advance(3000)
    expect(beatTimes()).toEqual([2000, 5000])
  })
})
