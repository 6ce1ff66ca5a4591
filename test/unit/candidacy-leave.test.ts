import { describe, expect, test } from 'vitest'
import { ConnectionError } from '../../src/errors.ts'
import { candidate, timesOf } from './support/candidate.ts'
import { ModelLeases } from './support/model-leases.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

const reason = new Error('called off')

/** A leader and two who wait for it, the first of whom is going to leave. */
async function inLine() {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const leader = new StubProcess({ clock, model })
  const lease = await leader.lease('job', 'leader')
  const process = new StubProcess({ clock, model })
  const first = candidate(process, 'first')
  await clock.settle()
  const behind = new StubProcess({ clock, model })
  const second = candidate(behind, 'second')
  await clock.advance(1000)
  return { clock, model, lease, process, ...first, second, behind }
}

/** Nothing of the candidate goes on: no timer but those of the others, no beat, no request. */
async function expectNothingLeft(process: StubProcess): Promise<void> {
  const { database, clock, context } = process
  expect(context.pending.size).toBe(0)
  expect(context.held.size).toBe(0)
  const calls = database.calls.length
  await clock.advance(60_000)
  expect(database.calls).toHaveLength(calls)
}

describe('a candidate that is called off', () => {
  test('gives up its place: those behind it move up at once', async () => {
    const { clock, model, lease, process, state, stop, second } = await inLine()
    stop.abort(reason)
    await clock.settle()
    expect(state.error).toBe(reason)
    expect(process.database.callsOf('leave_queue')).toMatchObject([
      { arguments: { name: 'job', holder: 'first' }, timeoutMs: process.timing.queryTimeoutMs },
    ])
    expect(model.line.candidates('job')).toEqual(['second'])
    await lease.release()
    await clock.settle()
    expect(second.state.lease?.isHeld).toBe(true)
    await expectNothingLeft(process)
  })

  test('does not wait for its leaving, which is pending until it is done', async () => {
    const { clock, process, state, stop } = await inLine()
    const leaving = process.database.hold('leave_queue')
    stop.abort(reason)
    await clock.settle()
    expect(state.error).toBe(reason)
    expect(process.context.pending.size).toBe(1)
    ;(await leaving).answer()
    await clock.settle()
    await expectNothingLeft(process)
  })

  test('and cannot say so leaves its place to run out', async () => {
    const { clock, model, process, state, stop } = await inLine()
    process.database.always('leave_queue', connectionLost())
    stop.abort(reason)
    await clock.settle()
    expect(state.error).toBe(reason)
    expect(model.line.candidates('job')).toEqual(['first', 'second'])
    expect(process.log.complaints).toEqual([])
    await expectNothingLeft(process)
    expect(model.line.candidates('job')).toEqual(['second'])
  })

  test('gives back what it was handed in the same moment, without a word of it', async () => {
    const { clock, model, lease, process, state, stop, second } = await inLine()
    process.database.emit = (() => false) as never
    await lease.release()
    expect(model.holding('job')?.holder).toBe('first')
    stop.abort(reason)
    await clock.settle()
    expect(state).toEqual({ error: reason })
    expect(second.state.lease?.isHeld).toBe(true)
    expect(model.grants.map(({ holder }) => holder)).toEqual(['leader', 'first', 'second'])
    await expectNothingLeft(process)
  })

  test('gives back what it was handed while it looked', async () => {
    const { clock, model, lease, process, state, stop, second } = await inLine()
    const look = process.database.hold('get_candidacy')
    await lease.release()
    await clock.settle()
    stop.abort(reason)
    // A client that closes waits for it: it may bring a lease.
    expect(process.context.pending.size).toBe(1)
    ;(await look).answer(model.candidacy('job', 'first'))
    await clock.settle()
    expect(state).toEqual({ error: reason })
    expect(second.state.lease?.isHeld).toBe(true)
    expect(timesOf(process, 'release_lease')).toEqual([1000])
    expect(timesOf(process, 'leave_queue')).toEqual([])
    await expectNothingLeft(process)
  })

  test('while it takes its place leaves it again', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    model.acquire('job', 'other', 60_000)
    const process = new StubProcess({ clock, model })
    const asking = process.database.hold('acquire_lease')
    const { state, stop } = candidate(process)
    stop.abort(reason)
    const row = model.acquire('job', 'me', 15_000, null, { priority: 0, backend: process.backend })
    ;(await asking).answer(row)
    await clock.advance(100)
    expect(state.error).toBe(reason)
    expect(model.line.candidates('job')).toEqual([])
    await expectNothingLeft(process)
  })

  // Whether the request took effect is unknown: it may have a place there.
  test('after a failure leaves, too, though it knows of no place', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    model.acquire('job', 'other', 60_000)
    const process = new StubProcess({ clock, model })
    process.database.next('acquire_lease', () => {
      model.acquire('job', 'me', 15_000, null, { priority: 0, backend: process.backend })
      throw connectionLost()
    })
    const { state, stop } = candidate(process)
    await clock.advance(100)
    expect(model.line.candidates('job')).toEqual(['me'])
    stop.abort(reason)
    await clock.settle()
    expect(state.error).toBe(reason)
    expect(model.line.candidates('job')).toEqual([])
    await expectNothingLeft(process)
  })

  test('once it has the lease leaves nothing: that is for its holder to release', async () => {
    const { clock, model, lease, process, state, stop } = await inLine()
    await lease.release()
    await clock.settle()
    stop.abort(reason)
    await clock.advance(30_000)
    expect(state.lease?.isHeld).toBe(true)
    expect(timesOf(process, 'leave_queue')).toEqual([])
    expect(model.holding('job')?.holder).toBe('first')
  })

  test('while the heartbeat asks about its place hears no more of it', async () => {
    const { clock, process, state, stop } = await inLine()
    process.database.keepsTimeouts = false
    const beat = process.database.hold('refresh_candidates')
    await clock.advance(5000)
    stop.abort(reason)
    await clock.settle()
    ;(await beat).answer(process.model.candidacy('job', 'first'))
    await clock.settle()
    expect(state.error).toBe(reason)
    await expectNothingLeft(process)
  })
})

describe('a fault that stays', () => {
  test.each(['42501', '3F000', 'XX000'])(
    'SQLSTATE %s of a look ends the wait and gives up the place',
    async (sqlState) => {
      const { clock, model, lease, process, state } = await inLine()
      const error = serverError(sqlState)
      process.database.next('get_candidacy', error)
      await lease.release()
      await clock.settle()
      expect(state).toEqual({ error })
      expect(model.grants.map(({ holder }) => holder)).toEqual(['leader', 'first', 'second'])
      await expectNothingLeft(process)
    },
  )

  test('of the first request ends it with nothing to give up', async () => {
    const process = new StubProcess()
    const error = serverError('42501')
    process.database.next('acquire_lease', error)
    const { state, waiting } = candidate(process)
    await waiting
    expect(state.error).toBe(error)
    expect(process.database.calls.map(({ name }) => name)).toEqual(['acquire_lease'])
  })

  // The heartbeat retries, and the candidate learns of it when it looks or asks itself.
  test('of a beat ends no wait', async () => {
    const { clock, process, state } = await inLine()
    process.database.next('refresh_candidates', serverError('XX000'))
    await clock.advance(10_000)
    expect(state).toEqual({})
    expect(process.log.messages('warn')).toHaveLength(1)
  })
})

test('a request that is not answered in time is one that failed', async () => {
  const { clock, lease, process, state } = await inLine()
  process.database.next('get_candidacy', NEVER)
  await lease.release()
  await clock.advance(process.timing.queryTimeoutMs)
  expect(state).toEqual({})
  const told = process.log.lines.filter(({ level }) => level === 'info').at(-1)
  expect(told?.fields).toMatchObject({ error: { code: new ConnectionError('').code } })
  await clock.advance(process.timing.retryIntervalMs * 1.5)
  expect(timesOf(process, 'acquire_lease')).toHaveLength(2)
})

// A grant that is known to be its own, but came after its own deadline: asking again settles it under the same token.
test.each(['acquire_lease', 'get_candidacy'])(
  'a grant by %s that comes after its own deadline is asked for again',
  async (by) => {
    const process = new StubProcess()
    const { clock, database, model } = process
    database.keepsTimeouts = false
    if (by === 'get_candidacy') model.acquire('job', 'other', 600_000)
    const request = database.hold(by)
    const { state } = candidate(process)
    await clock.settle()
    if (by === 'get_candidacy') model.release('job', 1001)
    const granted = by === 'get_candidacy' ? model.candidacy('job', 'me') : model.acquire('job', 'me', 15_000)
    clock.pass(14_500)
    // Meanwhile another call of its own has extended it.
    model.acquire('job', 'me', 15_000)
    ;(await request).answer(granted)
    await clock.advance(150)
    expect(state.lease?.isHeld).toBe(true)
    expect(state.lease?.token).toBe(model.holding('job')?.token)
    expect(state.lease?.remainingMs).toBeGreaterThan(13_800)
  },
)
