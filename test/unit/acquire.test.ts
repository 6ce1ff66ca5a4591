import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import { acquireWithin, requireWait, type WaitOptions, withinTime } from '../../src/acquire.ts'
import { AcquireTimeoutError, InvalidArgumentError } from '../../src/errors.ts'
import type { Lease } from '../../src/lease.ts'
import { timesOf } from './support/candidate.ts'
import { connectionLost } from './support/pg-errors.ts'
import { StubProcess } from './support/stub-process.ts'

/** Waits for a lease that somebody else holds for a minute, unless told otherwise. */
function waiter(options: WaitOptions, { isHeld = true } = {}) {
  const process = new StubProcess()
  if (isHeld) process.model.acquire('job', 'other', 60_000)
  const state: { lease?: Lease; error?: unknown } = {}
  const done = acquireWithin(process.context, process.request(), options).then(
    (lease) => {
      state.lease = lease
    },
    (error: unknown) => {
      state.error = error
    },
  )
  return { process, state, done }
}

describe('waiting for a lease', () => {
  test('ends by an error when its time is over, and its place with it', async () => {
    const { process, state } = waiter({ timeoutMs: 3000 })
    await process.clock.advance(2999)
    expect(state).toEqual({})
    expect(process.model.line.candidates('job')).toEqual(['me'])
    await process.clock.advance(1)
    expect(state.error).toBeInstanceOf(AcquireTimeoutError)
    expect(state.error).toMatchObject({ message: 'Timed out after 3000 ms of waiting for "job"' })
    expect(process.model.line.candidates('job')).toEqual([])
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('of no time asks once: a vacant lease is granted', async () => {
    const vacant = waiter({ timeoutMs: 0 }, { isHeld: false })
    await vacant.process.clock.advance(0)
    expect(vacant.state.lease?.isHeld).toBe(true)

    const held = waiter({ timeoutMs: 0 })
    await held.process.clock.advance(0)
    expect(held.state.error).toBeInstanceOf(AcquireTimeoutError)
    expect(timesOf(held.process, 'acquire_lease')).toEqual([0])
    expect(held.process.model.line.candidates('job')).toEqual([])
    expect(held.process.clock.pendingTimers).toBe(0)
  })

  test('leaves no timer behind once the lease is granted', async () => {
    const { process, state } = waiter({ timeoutMs: 30_000 })
    await process.clock.advance(1000)
    process.model.force('job')
    await process.clock.settle()
    await state.lease?.release()
    expect(process.clock.pendingTimers).toBe(0)
    expect(state.error).toBeUndefined()
  })

  test('leaves no timer behind, either, when it fails', async () => {
    const { process, state } = waiter({ timeoutMs: 30_000 })
    await process.clock.advance(1000)
    const error = new TypeError('of the driver')
    process.database.next('get_candidacy', error)
    process.model.force('job')
    await process.clock.settle()
    expect(state.error).toBe(error)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('does not lose the lease by the time that it was given for waiting', async () => {
    const { process, state } = waiter({ timeoutMs: 3000 }, { isHeld: false })
    await process.clock.advance(60_000)
    expect(state.lease?.isHeld).toBe(true)
    expect(timesOf(process, 'leave_queue')).toEqual([])
  })

  test("ends with the signal's reason, before it began as well as later", async () => {
    const reason = new Error('no more')
    const early = waiter({ signal: AbortSignal.abort(reason), timeoutMs: 50 })
    await early.done
    expect(early.state.error).toBe(reason)
    expect(early.process.database.calls).toEqual([])
    expect(early.process.clock.pendingTimers).toBe(0)

    const stop = new AbortController()
    const { process, state } = waiter({ signal: stop.signal, timeoutMs: 50_000 })
    await process.clock.advance(1000)
    stop.abort(reason)
    await process.clock.settle()
    expect(state.error).toBe(reason)
    expect(process.model.line.candidates('job')).toEqual([])
    expect(process.clock.pendingTimers).toBe(0)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })

  test.each([[{}], [{ timeoutMs: 50_000 }], [{ signal: new AbortController().signal }]])(
    'with %j ends with the reason of the closing of its client',
    async (options) => {
      const reason = new Error('closing')
      const { process, state } = waiter(options)
      await process.clock.advance(1000)
      process.closing.abort(reason)
      await process.clock.settle()
      expect(state.error).toBe(reason)
      expect(process.model.line.candidates('job')).toEqual([])
      expect(process.clock.pendingTimers).toBe(0)
    },
  )

  test('whose time is over while it was handed the lease gives that back', async () => {
    const { process, state } = waiter({ timeoutMs: 3000 })
    await process.clock.advance(2900)
    const look = process.database.hold('get_candidacy')
    process.model.release('job', 1001)
    await process.clock.advance(100)
    ;(await look).answer(process.model.candidacy('job', 'me'))
    await process.clock.settle()
    expect(state.error).toBeInstanceOf(AcquireTimeoutError)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('ends in time also while the database cannot be asked', async () => {
    const { process, state } = waiter({ timeoutMs: 3000 })
    process.database.network = () => Promise.reject(connectionLost())
    await process.clock.advance(3000)
    expect(state.error).toBeInstanceOf(AcquireTimeoutError)
  })
})

describe('within a time', () => {
  const within = (
    process: StubProcess,
    options: WaitOptions,
    wait: (signal: AbortSignal) => Promise<number>,
  ) => withinTime({ clock: process.clock, closing: process.closing.signal }, 'job', options, wait)

  test('what is done returns its result, or throws what it threw', async () => {
    const process = new StubProcess()
    expect(await within(process, { timeoutMs: 5 }, async () => 5)).toBe(5)
    expect(await within(process, {}, async () => 6)).toBe(6)
    const failing = within(process, { timeoutMs: 5 }, () => Promise.reject(new RangeError('of the wait')))
    await expect(failing).rejects.toThrow('of the wait')
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('no timer is set where there is no limit', async () => {
    const process = new StubProcess()
    const stop = new AbortController()
    void within(process, { signal: stop.signal }, () => new Promise(() => {}))
    expect(process.clock.pendingTimers).toBe(0)
  })
})

describe('how long to wait', () => {
  test.each<[unknown]>([[-1], [2 ** 31], [Number.NaN], [Number.POSITIVE_INFINITY], ['5'], [null]])(
    'cannot be %s',
    (timeoutMs) => {
      expect(() => requireWait({ timeoutMs: timeoutMs as number })).toThrow(InvalidArgumentError)
      expect(() => requireWait({ timeoutMs: timeoutMs as number })).toThrow(/^Invalid timeoutMs: /)
    },
  )

  test('cannot be said by a signal that is none', () => {
    expect(() => requireWait({ signal: {} as AbortSignal })).toThrow(/^Invalid signal: /)
  })

  test.each<[WaitOptions]>([
    [{}],
    [{ timeoutMs: 0 }],
    [{ timeoutMs: 2 ** 31 - 1, signal: AbortSignal.abort() }],
  ])('can be %j', (options) => {
    expect(() => requireWait(options)).not.toThrow()
  })
})
