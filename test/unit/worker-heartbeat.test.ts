import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LeaseLostError } from '../../src/errors.ts'
import type { Lease } from '../../src/lease.ts'
import { requestLease } from '../../src/request.ts'
import { connectionLost } from './support/pg-errors.ts'
import { grantedRow } from './support/rows.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubThreaded } from './support/stub-thread.ts'

/** Beats about 5 s apart, a deadline 14 s after sending; given up after a minute. */
const TTL_MS = 15_000
const DEADLINE_MS = 14_000
const HANG_MS = 60_000

describe('a main loop that is blocked', () => {
  test('for three TTLs keeps its lease, and isHeld knows in the very next line', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(3 * TTL_MS)
    expect(lease.isHeld).toBe(true)
    expect(lease.signal.aborted).toBe(false)
    expect(process.model.grants).toHaveLength(1)
    expect(process.main.database.callsOf('renew_leases')).toEqual([])
    await process.advance(3 * TTL_MS)
    expect(lease.isHeld).toBe(true)
    expect(lease.signal.aborted).toBe(false)
    expect(process.main.log.complaints).toEqual([])
  })

  test('trusts what the thread has renewed from its sending on, and no longer', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(20_000)
    const sentAtMs = process.threadDatabase.callsOf('renew_leases').at(-1)?.sentAtMs as number
    expect(lease.remainingMs).toBe(DEADLINE_MS - (20_000 - sentAtMs))
    process.threadDatabase.always('renew_leases', NEVER)
    process.stop(lease.remainingMs - 1)
    expect(lease.isHeld).toBe(true)
    process.stop(1)
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
  })

  test('hears of several beats at once, in order', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(14_500)
    expect(process.thread.news.map(({ kind }) => kind)).toEqual(['extended', 'extended', 'extended'])
    const sentAtMs = process.threadDatabase.callsOf('renew_leases').at(-1)?.sentAtMs as number
    expect(lease.remainingMs).toBe(DEADLINE_MS - (14_500 - sentAtMs))
    expect(process.thread.news).toEqual([])
  })

  test('hears that its lease was taken away in the very next line', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    process.model.force('job')
    process.model.acquire('job', 'usurper', TTL_MS)
    await process.block(5_000)
    // By its own clock there is time left.
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.reason.message).toMatch(/usurper holds it now/)
    await process.advance(TTL_MS)
    expect(process.threadClock.pendingTimers).toBe(0)
    expect(process.main.clock.pendingTimers).toBe(0)
    expect(process.main.log.messages('warn')).toEqual(['lost a lease'])
  })

  test('hears that its lease was taken away after it had been renewed', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(5_000)
    process.model.force('job')
    await process.block(5_000)
    expect(process.thread.news.map(({ kind }) => kind)).toEqual(['extended', 'refused'])
    expect(lease.isHeld).toBe(false)
  })

  test('hears of another lease in a turn of its own: a look at one runs no listeners of another', async () => {
    const process = new StubThreaded()
    const [one, other] = [await process.lease('one'), await process.lease('other')]
    process.model.force('other')
    await process.block(5_000)
    expect(one.isHeld).toBe(true)
    expect(other.signal.aborted).toBe(false)
    await process.main.clock.advance(0)
    expect(other.signal.aborted).toBe(true)
    expect(one.isHeld).toBe(true)
  })

  test('loses its lease where the thread cannot reach the database either', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    process.threadDatabase.network = () => Promise.reject(connectionLost())
    await process.block(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
  })

  test('is not succeeded where the connection of the thread is lost for a while', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    process.threadDatabase.network = () => Promise.reject(connectionLost())
    await process.block(10_000)
    process.threadDatabase.network = (serve) => serve()
    process.thread.heartbeat?.hurry()
    await process.block(30_000)
    expect(lease.isHeld).toBe(true)
    expect(lease.remainingMs).toBeGreaterThan(DEADLINE_MS - 5_000)
  })
})

describe('without anybody looking', () => {
  test('the signal aborts once the main loop turns again', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    process.model.force('job')
    await process.block(5_000)
    process.thread.turn()
    expect(lease.signal.aborted).toBe(true)
  })

  test('a lease that was renewed all the while is not lost by the timer of a deadline long past', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(3 * TTL_MS)
    await process.main.clock.advance(0)
    expect(lease.signal.aborted).toBe(false)
    process.thread.turn()
    expect(lease.signal.aborted).toBe(false)
    // Nor by news that the loop reads before its timers.
    await process.block(3 * TTL_MS)
    process.thread.turn()
    expect(lease.signal.aborted).toBe(false)
  })
})

describe('a main loop that hangs', () => {
  test('is not kept on for longer than hangTimeoutMs and a TTL', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    let vacantAtMs = Number.NaN
    process.onStep = () => {
      if (Number.isNaN(vacantAtMs) && process.model.holding('job') === undefined) {
        vacantAtMs = process.main.clock.trueMs
      }
    }
    await process.block(HANG_MS + 2 * TTL_MS)
    expect(vacantAtMs).toBeGreaterThan(HANG_MS)
    expect(vacantAtMs).toBeLessThanOrEqual(HANG_MS + TTL_MS + 50)
    const renewals = process.threadDatabase.callsOf('renew_leases').map(({ sentAtMs }) => sentAtMs)
    expect(Math.max(...renewals)).toBeLessThan(HANG_MS)
    expect(process.threadClock.pendingTimers).toBe(0)
    // It was never asked twice.
    expect(process.thread.reports).toEqual([{ kind: 'ping' }])

    expect(lease.isHeld).toBe(false)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    expect(lease.signal.reason.message).toMatch(/the event loop of this process did not answer for 60000 ms/)
  })

  test('is asked first by a thread that was late itself', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const { heartbeat } = process.thread
    process.thread.heartbeat = undefined
    const lease = await process.lease()
    await process.advance(TTL_MS + 2_000)
    process.thread.heartbeat = heartbeat
    for (const command of [...process.thread.commands]) {
      if (command.kind !== 'close') heartbeat?.obey(command)
    }
    await process.advance(TTL_MS)
    expect(lease.isHeld).toBe(true)
    // Both threads were stopped, for longer than the one may be silent but not for as long as the other lease lasts.
    const long = await requestLease(process.context, {
      ...process.main.request('long'),
      timing: { ...process.main.timing, ttlMs: 10 * TTL_MS },
    })
    process.stop(2 * TTL_MS)
    await process.advance(TTL_MS)
    expect((long as Lease).isHeld).toBe(true)
    await process.block(TTL_MS)
    expect((long as Lease).isHeld).toBe(false)
  })

  test('is given up soon where it does not answer a thread that was late, either', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    await process.lease()
    process.stop(2 * TTL_MS)
    await process.block(1_600)
    expect(process.thread.news.at(-1)).toMatchObject({ kind: expect.stringMatching(/hung|refused/) })
    expect(process.threadClock.pendingTimers).toBe(0)
  })

  test('has lost its lease at once, whatever time is left', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const lease = await process.lease()
    await process.block(TTL_MS)
    expect(lease.isHeld).toBe(false)
    expect(process.model.holding('job')).toBeDefined()
    // Nothing was given back: its work may run still.
    expect(process.threadDatabase.callsOf('release_lease')).toEqual([])
  })

  test('is kept on until then', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.advance(10_000)
    await process.block(HANG_MS - 1_500)
    expect(lease.isHeld).toBe(true)
    await process.advance(1_000)
    await process.block(HANG_MS - 1_500)
    expect(lease.isHeld).toBe(true)
  })

  test('is known by when it gave its last sign of life, not by when the thread has read it', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const lease = await process.lease()
    const at = process.main.clock.now()
    await process.block(10_000)
    process.thread.heartbeat?.obey({ kind: 'alive', at })
    await process.block(TTL_MS - 10_000)
    expect(lease.isHeld).toBe(false)
  })

  test('stays without its leases when it goes on; new ones are renewed', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const lost = await process.lease()
    await process.block(2 * TTL_MS)
    expect(lost.isHeld).toBe(false)
    await process.advance(TTL_MS)
    const lease = await process.lease()
    await process.advance(4 * TTL_MS)
    expect(lease.isHeld).toBe(true)
    expect(lost.isHeld).toBe(false)
    await process.block(0.8 * TTL_MS)
    expect(lease.isHeld).toBe(true)
  })

  test('a renewal that was under way as it was given up prolongs nothing here', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    process.threadDatabase.keepsTimeouts = false
    const lease = await process.lease()
    await process.block(9_000)
    const renewal = process.threadDatabase.hold('renew_leases')
    await process.block(6_500)
    ;(await renewal).answer(grantedRow(lease.token))
    await process.threadClock.settle()
    expect(process.thread.news.at(-1)).toEqual({ kind: 'hung', id: 1 })
    expect(lease.isHeld).toBe(false)
  })

  test('a lease that is granted as it goes on again is no sign of a hang', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const first = await process.lease('first')
    await process.block(TTL_MS - 100)
    const second = await process.lease('second')
    // The ping is not answered yet.
    await process.block(1_000)
    expect([first.isHeld, second.isHeld]).toEqual([true, true])
  })
})

describe('clocks', () => {
  test('a process that is stopped past the deadline holds nothing in the very next line', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.advance(20_000)
    process.stop(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
  })

  test('a suspend counts in both threads, though the monotonic clock stood still', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.block(20_000)
    process.suspend(TTL_MS)
    process.stepWall(-3_600_000)
    expect(lease.isHeld).toBe(false)
  })

  test('whatever they do, and however long the main loop is blocked: nobody else is granted what isHeld says is held', async () => {
    const ms = fc.integer({ min: 0, max: 20_000 })
    const step = fc.oneof(
      fc.record({ kind: fc.constantFrom('advance' as const, 'block' as const), ms }),
      fc.record({ kind: fc.constantFrom('stop' as const, 'suspend' as const), ms }),
      fc.record({ kind: fc.constant('stepWall' as const), ms: fc.integer({ min: -1e7, max: 1e7 }) }),
      fc.record({ kind: fc.constantFrom('cut' as const, 'mend' as const), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant('look' as const), ms: fc.constant(0) }),
    )
    let kept = 0
    let lost = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 10 }), fc.nat(20), async (steps, looks) => {
        const process = new StubThreaded({ ttlMs: 3_000, hangTimeoutMs: 9_000 })
        const lease = await process.lease()
        let turns = 0
        process.onStep = () => {
          process.model.acquire('job', 'rival', 3_000)
          turns += 1
          // Often, seldom, or never: what nobody has looked at may still come to life.
          if (looks > 0 && turns % looks === 0) check()
        }
        const check = () => {
          if (lease.isHeld) expect(process.model.holding('job')?.token).toBe(lease.token)
        }
        for (const { kind, ms: forMs } of steps) {
          if (kind === 'look') check()
          else if (kind === 'cut') process.threadDatabase.network = () => Promise.reject(connectionLost())
          else if (kind === 'mend') process.threadDatabase.network = (serve) => serve()
          else await process[kind](forMs)
        }
        process.onStep()
        check()
        if (lease.isHeld) kept += 1
        else lost += 1
        await lease.release()
      }),
      { numRuns: 150 },
    )
    expect(kept).toBeGreaterThan(10)
    expect(lost).toBeGreaterThan(10)
  }, 60_000)
})

describe('leases', () => {
  test('are renewed in one statement a beat, all of them', async () => {
    const process = new StubThreaded()
    await Promise.all(Array.from({ length: 100 }, (_, place) => process.lease(`lease ${place}`)))
    await process.advance(5_000)
    const [beat, ...others] = process.threadDatabase.callsOf('renew_leases')
    expect(others).toEqual([])
    expect(beat?.arguments.names).toHaveLength(100)
  })

  test('have a connection ahead of their first beat', async () => {
    const process = new StubThreaded()
    expect(process.connects).toBe(0)
    await process.lease('one')
    await process.lease('other')
    expect(process.connects).toBe(1)
    expect(process.threadDatabase.calls).toEqual([])
  })

  test('that are given back leave nothing behind in either thread', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.advance(8_000)
    await lease.release()
    await process.advance(100)
    expect(process.main.clock.pendingTimers).toBe(0)
    expect(process.threadClock.pendingTimers).toBe(0)
    expect(process.thread.commands.map(({ kind }) => kind).filter((kind) => kind !== 'alive')).toEqual([
      'add',
      'remove',
    ])
  })

  test('can be renewed at once, over the connection of the main thread', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.advance(3_000)
    await lease.renew()
    expect(lease.remainingMs).toBe(DEADLINE_MS)
    expect(process.main.database.callsOf('renew_leases')).toHaveLength(1)
  })

  test('that were registered before the thread was up are renewed in time', async () => {
    const process = new StubThreaded()
    const { heartbeat } = process.thread
    process.thread.heartbeat = undefined
    const lease = await process.lease()
    await process.block(12_000)
    for (const command of process.thread.commands) if (command.kind !== 'close') heartbeat?.obey(command)
    await process.block(100)
    expect(process.threadDatabase.callsOf('renew_leases')).toHaveLength(1)
    expect(lease.remainingMs).toBeGreaterThan(DEADLINE_MS - 1_000)
  })

  test('that were handed over for a short time are renewed before it is over', async () => {
    const process = new StubThreaded()
    process.main.database.next('acquire_lease', [{ ...grantedRow(7), expires_in_ms: 2_000 }])
    process.threadDatabase.always('renew_leases', [grantedRow(7)])
    await requestLease(process.context, process.main.request())
    await process.block(1_500)
    expect(process.threadDatabase.callsOf('renew_leases')).toHaveLength(1)
  })

  test('of which a renewal comes through when they are lost are given back', async () => {
    const process = new StubThreaded({ queryTimeoutMs: 9_000 })
    process.threadDatabase.keepsTimeouts = false
    process.main.database.always('renew_leases', NEVER)
    const lease = await process.lease()
    const renewal = process.threadDatabase.hold('renew_leases')
    await process.advance(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
    ;(await renewal).answer(grantedRow(lease.token))
    await process.advance(50)
    expect(lease.isHeld).toBe(false)
    expect(process.main.database.callsOf('release_lease')).toMatchObject([
      { arguments: { token: lease.token } },
    ])
  })
})

describe('a thread that is late', () => {
  test('has the main loop stand in for it, after half as long again, and no sooner', async () => {
    const process = new StubThreaded()
    process.threadDatabase.network = () => Promise.reject(connectionLost())
    const lease = await process.lease()
    await process.advance(7_000)
    expect(process.main.database.callsOf('renew_leases')).toEqual([])
    await process.advance(2_000)
    expect(process.main.database.callsOf('renew_leases')).toHaveLength(1)
    await process.advance(4 * TTL_MS)
    expect(lease.isHeld).toBe(true)
    expect(process.model.grants).toHaveLength(1)

    // Once it renews again, the main loop leaves it to the thread.
    process.threadDatabase.network = (serve) => serve()
    await process.advance(10_000)
    const calls = process.main.database.callsOf('renew_leases').length
    await process.advance(4 * TTL_MS)
    expect(process.main.database.callsOf('renew_leases')).toHaveLength(calls)
    await lease.release()
    expect(process.main.clock.pendingTimers).toBe(0)
  })

  test('is stood in for by the next retry at the latest where the interval leaves no more time', async () => {
    const process = new StubThreaded({ ttlMs: 3_000, renewIntervalMs: 2_500 })
    process.threadDatabase.network = () => Promise.reject(connectionLost())
    const lease = await process.lease()
    await process.advance(30_000)
    expect(lease.isHeld).toBe(true)
  })

  test('leaves a lease that was handed over for a short time to the main loop, in time', async () => {
    const process = new StubThreaded()
    process.thread.heartbeat = undefined
    process.main.database.next('acquire_lease', [{ ...grantedRow(7), expires_in_ms: 2_000 }])
    process.main.database.always('renew_leases', [grantedRow(7)])
    await requestLease(process.context, process.main.request())
    await process.advance(1_000)
    expect(process.main.database.callsOf('renew_leases')).toHaveLength(1)
  })

  test('is stood in for no more once its lease is lost', async () => {
    const process = new StubThreaded({ hangTimeoutMs: TTL_MS })
    const lease = await process.lease()
    await process.block(TTL_MS + 1_000)
    expect(lease.isHeld).toBe(false)
    await process.advance(TTL_MS)
    expect(process.main.database.callsOf('renew_leases')).toEqual([])
    expect(process.main.clock.pendingTimers).toBe(0)
  })
})

describe('a thread that fails', () => {
  test('is replaced by the main loop, at once', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    await process.advance(12_000)
    process.thread.heartbeat = undefined
    process.thread.fail(new Error('out of memory'))
    await process.main.clock.advance(1)
    expect(process.main.database.callsOf('renew_leases')).toHaveLength(1)
    expect(process.main.log.lines.at(-1)).toEqual({
      level: 'error',
      fields: { leases: 1, error: { message: 'out of memory' } },
      message: 'the thread of the heartbeat has failed: the main loop renews from now on',
    })
    const told = process.thread.commands.length
    const next = await process.lease('next')
    await process.main.clock.advance(3 * TTL_MS)
    expect([lease.isHeld, next.isHeld]).toEqual([true, true])
    expect(process.thread.commands).toHaveLength(told)
    await Promise.all([lease.release(), next.release()])
    expect(process.main.clock.pendingTimers).toBe(0)
  })

  test('has its last word heard', async () => {
    const process = new StubThreaded()
    const lease = await process.lease()
    process.model.force('job')
    await process.block(5_000)
    process.thread.fail(new Error('out of memory'))
    expect(lease.signal.aborted).toBe(true)
    expect(process.main.clock.pendingTimers).toBe(0)
  })
})

test('what the thread logs is logged by the main thread, which says where it comes from', () => {
  const process = new StubThreaded()
  process.thread.reports.push({
    kind: 'log',
    level: 'warn',
    fields: { leases: 2 },
    message: 'a renewal failed',
  })
  process.thread.turn()
  expect(process.main.log.lines).toEqual([
    { level: 'warn', fields: { leases: 2, thread: 'heartbeat' }, message: 'a renewal failed' },
  ])
})
