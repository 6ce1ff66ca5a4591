import { describe, expect, test } from 'vitest'
import { nextAttemptInMs, waitForLease } from '../../src/candidacy.ts'
import type { Candidacy } from '../../src/queries.ts'
import { resolveTiming } from '../../src/timing.ts'
import { candidate, timesOf } from './support/candidate.ts'
import { sessionChannelOf } from './support/model-leases.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { ALMOST_ONE } from './support/random.ts'
import { busyRow, grantedRow, waitingRow } from './support/rows.ts'
import { StubProcess } from './support/stub-process.ts'

describe('the next attempt', () => {
  const timing = resolveTiming({ ttlMs: 15_000 })
  const answer: Candidacy = {
    granted: false,
    holder: 'other',
    token: 1,
    version: 1,
    metadata: null,
    expiresInMs: 9000,
    lease: 'job',
    rank: 0,
  }
  const table: [what: string, answer: Partial<Candidacy>, fromMs: number, toMs: number][] = [
    ['a lease that expires: just after that', {}, 9002, 9002],
    ['a lease that has all but expired: just after that', { expiresInMs: 0.5 }, 2.5, 2.5],
    ['the same behind two: a quarter of a second later for each', { rank: 2 }, 9502, 9502],
    ['the same behind ten: a quarter of a second later for each', { rank: 10 }, 11_502, 11_502],
    ['the same as the second: sooner than a hand-off to a dead one runs out', { rank: 1 }, 1350, 1650],
    [
      'the same as the second, if it expires soon: after the first',
      { rank: 1, expiresInMs: 900 },
      1152,
      1152,
    ],
    ['the same without a place: as the first', { rank: null }, 9002, 9002],
    ['a lease that does not expire: about a TTL later', { expiresInMs: null }, 13_500, 16_500],
    ['a lease that changes hands: soon', { holder: null, expiresInMs: null }, 50, 150],
    ['the same behind two: half a second later', { holder: null, expiresInMs: null, rank: 2 }, 300, 900],
    ['a lease in its grace, whose holder nobody knows: just after that', { holder: null }, 9002, 9002],
    ['the same behind two: later', { holder: null, rank: 2 }, 9502, 9502],
    ['neither yes nor no: soon', { granted: null, holder: null, expiresInMs: null }, 50, 150],
    ['a yes that came too late: soon, under the same name', { holder: 'me' }, 50, 150],
  ]

  test.each(table)('after %s', (_what, part, fromMs, toMs) => {
    const refusal = { ...answer, ...part }
    expect(nextAttemptInMs(refusal, 'me', timing, () => 0)).toBeCloseTo(fromMs, 6)
    expect(nextAttemptInMs(refusal, 'me', timing, () => ALMOST_ONE)).toBeCloseTo(toMs, 6)
  })

  test('at a lease that is unsettled is no later than a retry', () => {
    const quick = resolveTiming({ ttlMs: 15_000, retryIntervalMs: 30 })
    expect(nextAttemptInMs({ ...answer, holder: null, expiresInMs: null }, 'me', quick, () => 0.5)).toBe(30)
  })

  test('at a lease that changes hands is very soon at first, and then twice as late each time', () => {
    const unsettled = { ...answer, holder: null, expiresInMs: null }
    const delays = [1, 2, 3, 6, 7].map((times) => nextAttemptInMs(unsettled, 'me', timing, () => 0.5, times))
    expect(delays).toEqual([3, 6, 12, 96, 100])
  })
})

describe('a candidate', () => {
  test('that is granted the lease at once listens to nothing', async () => {
    const process = new StubProcess()
    const { state, waiting } = candidate(process)
    await waiting
    expect(state.lease?.isHeld).toBe(true)
    expect(process.database.calls.map(({ name }) => name)).toEqual(['acquire_lease'])
  })

  test('waits for the expiry of the lease that it was refused, without asking meanwhile', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 10_000)
    const { state } = candidate(process)
    await process.clock.advance(10_001)
    expect(timesOf(process, 'acquire_lease')).toEqual([0])
    expect(state.lease).toBeUndefined()
    await process.clock.advance(1)
    expect(timesOf(process, 'acquire_lease')).toEqual([0, 10_002])
    expect(state.lease?.isHeld).toBe(true)
  })

  test('asks again when it is told of a change', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 600_000)
    const { state } = candidate(process)
    await process.clock.advance(1000)
    process.model.force('job')
    await process.clock.settle()
    expect(state.lease?.isHeld).toBe(true)
  })

  test('looks once its LISTEN is in force: what was told before that is not missed', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 600_000)
    const listening = process.database.hold('listen_here')
    const { state } = candidate(process)
    await process.clock.advance(100)
    process.model.force('job')
    await process.clock.advance(100)
    expect(state.lease).toBeUndefined()
    ;(await listening).answer({ channel: sessionChannelOf(process.backend) })
    await process.clock.settle()
    expect(state.lease?.isHeld).toBe(true)
  })

  test('is not deaf to a change told while it looks', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 600_000)
    const { state } = candidate(process)
    await process.clock.advance(10)
    const look = process.database.hold('get_candidacy')
    process.database.emit('notified', sessionChannelOf(process.backend), '')
    await process.clock.advance(5)
    process.model.force('job')
    ;(await look).answer(waitingRow(0, 'other', 600_000))
    await process.clock.settle()
    expect(state.lease?.isHeld).toBe(true)
  })

  test('asks again soon where the answer was neither yes nor no', async () => {
    const process = new StubProcess()
    process.database.next('acquire_lease', [busyRow()], [busyRow()])
    const { state } = candidate(process)
    await process.clock.advance(200)
    expect(state.lease?.isHeld).toBe(true)
  })

  test('asks again after faults that pass', async () => {
    const process = new StubProcess()
    process.database.next('acquire_lease', connectionLost(), serverError('55P03'), serverError('57P03'))
    process.database.always('listen_here', connectionLost())
    const { state } = candidate(process)
    await process.clock.advance(1499)
    expect(timesOf(process, 'acquire_lease')).toEqual([0, 500, 1000])
    await process.clock.advance(1)
    expect(state.lease?.isHeld).toBe(true)
  })

  test('settles a grant of which the answer was lost: the same holder asks again', async () => {
    const process = new StubProcess()
    process.database.next('acquire_lease', () => {
      process.model.acquire('job', 'me', 15_000)
      throw connectionLost()
    })
    const { state } = candidate(process)
    await process.clock.advance(600)
    expect(state.lease?.isHeld).toBe(true)
    expect(process.model.grants).toHaveLength(1)
  })

  test.each([['22023'], ['42501'], ['3F000'], ['XX000']])(
    'gives up on a fault that stays: SQLSTATE %s',
    async (sqlState) => {
      const process = new StubProcess()
      const error = serverError(sqlState)
      process.model.acquire('job', 'other', 1000)
      const { state } = candidate(process)
      await process.clock.advance(500)
      process.database.always('acquire_lease', error)
      await process.clock.advance(1000)
      expect(state.error).toBe(error)
      expect(process.model.line.candidates('job')).toEqual([])
      expect(process.clock.pendingTimers).toBe(0)
    },
  )

  test('that has been granted the lease keeps no place, and its session listens on for the next one', async () => {
    const process = new StubProcess()
    for (const holder of ['first', 'second']) {
      process.model.acquire('job', 'other', 1000)
      const { state, waiting } = candidate(process, holder)
      await process.clock.advance(1100)
      await waiting
      await process.clock.advance(5000)
      await state.lease?.release()
      expect(process.model.line.candidates('job')).toEqual([])
      expect(process.clock.pendingTimers).toBe(0)
    }
    expect(process.database.callsOf('listen_here')).toHaveLength(1)
    expect(process.database.callsOf('unlisten')).toEqual([])
  })

  test('logs no warning and no error: waiting is what followers do', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    candidate(process)
    process.database.next('acquire_lease', [busyRow()], connectionLost())
    process.database.next('listen_here', connectionLost())
    await process.clock.advance(30_000)
    process.database.emit('lost')
    await process.clock.advance(20_000)
    expect(process.log.lines.length).toBeGreaterThan(3)
    expect(process.log.complaints).toEqual([])
  })
})

describe('a candidate that is called off', () => {
  const reason = new Error('called off')

  test('before it began asks nothing', async () => {
    const process = new StubProcess()
    const signal = AbortSignal.abort(reason)
    await expect(waitForLease(process.context, process.request(), signal)).rejects.toBe(reason)
    expect(process.database.calls).toEqual([])
  })

  test('while it waits leaves at once, and leaves nothing behind', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    const { state, stop } = candidate(process)
    await process.clock.advance(1000)
    stop.abort(reason)
    await process.clock.settle()
    expect(state.error).toBe(reason)
    expect(process.clock.pendingTimers).toBe(0)
    expect(process.context.pending.size).toBe(0)
    expect(process.model.line.candidates('job')).toEqual([])
  })

  test('while a failure keeps it waiting leaves at once, too', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    const { state, stop } = candidate(process)
    await process.clock.advance(100)
    process.database.next('get_candidacy', connectionLost())
    process.database.emit('notified', sessionChannelOf(process.backend), '')
    await process.clock.advance(1)
    stop.abort(reason)
    await process.clock.settle()
    expect(state.error).toBe(reason)
    expect(process.model.line.candidates('job')).toEqual([])
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('while its attempt is under way gives back what it is granted', async () => {
    const process = new StubProcess()
    const attempt = process.database.hold('acquire_lease')
    const { state, stop } = candidate(process)
    await process.clock.advance(100)
    stop.abort(reason)
    const row = process.model.acquire('job', 'me', 15_000)
    ;(await attempt).answer(row)
    await process.clock.settle()
    expect(state.error).toBe(reason)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
  })

  // The grant is known to be its own: left alone it would keep the others out for a TTL.
  test('gives back also what it was granted too late to be trusted', async () => {
    const process = new StubProcess()
    process.database.keepsTimeouts = false
    const attempt = process.database.hold('acquire_lease')
    const { state, stop } = candidate(process)
    process.clock.pass(14_000)
    process.model.acquire('job', 'me', 15_000)
    ;(await attempt).answer(grantedRow(1001))
    await process.clock.settle()
    stop.abort(reason)
    await process.clock.advance(100)
    expect(state.error).toBe(reason)
    expect(process.model.holding('job')).toBeUndefined()
  })
})
