import { describe, expect, test } from 'vitest'
import { LeaseLostError, ResignedError } from '../../src/errors.ts'
import type { Lease } from '../../src/lease.ts'
import { connectionLost } from './support/pg-errors.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubProcess } from './support/stub-process.ts'

/** After sending, at a TTL of 15 s. */
const DEADLINE_MS = 14_000

/** Work that ends when the test says so. */
function openWork() {
  let finish = () => {}
  let fail = (_error: Error) => {}
  const done = new Promise<void>((resolve, reject) => {
    finish = resolve
    fail = reject
  })
  return { work: () => done, finish: () => finish(), fail: (error: Error) => fail(error) }
}

/** Whether it has settled, once all that needs no time is over. */
async function settled(process: StubProcess, promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false
  const settle = () => {
    isSettled = true
  }
  promise.then(settle, settle)
  await process.clock.settle()
  return isSettled
}

describe('release', () => {
  test('gives the lease back at once and says so', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const released = lease.release()
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.aborted).toBe(true)
    expect(await released).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
    expect(process.log.complaints).toEqual([])
  })

  test('is done once, however often it is asked for', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const answers = await Promise.all([lease.release(), lease.release(), lease.release()])
    expect([...answers, await lease.release()]).toEqual([true, true, true, true])
    expect(process.database.callsOf('release_lease')).toHaveLength(1)
  })

  test('of a lost lease asks nothing', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.clock.pass(DEADLINE_MS)
    expect(await lease.release()).toBe(false)
    expect(process.database.callsOf('release_lease')).toEqual([])
  })

  test('is tried three times, a retry interval apart', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.database.always('release_lease', connectionLost())
    const released = lease.release()
    await process.clock.advance(5000)
    expect(await released).toBe(false)
    expect(process.database.callsOf('release_lease').map(({ sentAtMs }) => sentAtMs)).toEqual([0, 500, 1000])
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('that comes through at the second time is one', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.database.next('release_lease', connectionLost())
    const released = lease.release()
    await process.clock.advance(500)
    expect(await released).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
  })

  test('is not tried beyond the deadline', async () => {
    const process = new StubProcess()
    process.database.always('renew_leases', NEVER)
    const lease = await process.lease()
    process.database.always('release_lease', connectionLost())
    process.clock.pass(DEADLINE_MS - 600)
    const released = lease.release()
    await process.clock.advance(5000)
    expect(await released).toBe(false)
    expect(process.database.callsOf('release_lease')).toHaveLength(2)
  })

  test('that takes long is not crossed by renewals', async () => {
    const process = new StubProcess({ queryTimeoutMs: 9000 })
    const lease = await process.lease()
    const releasing = process.database.hold('release_lease')
    const released = lease.release()
    await process.clock.advance(8000)
    expect(process.database.callsOf('renew_leases')).toEqual([])
    ;(await releasing).answer({ released: true })
    expect(await released).toBe(true)
  })

  test('ends the renewals, and one that is under way changes nothing', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const renewal = process.database.hold('renew_leases')
    await process.clock.advance(4750)
    await lease.release()
    ;(await renewal).answer({ granted: true, holder: 'me', token: '1', version: '1', expires_in_ms: 1 })
    await process.clock.advance(60_000)
    expect(lease.isHeld).toBe(false)
    expect(process.database.callsOf('renew_leases')).toHaveLength(1)
    expect(process.database.callsOf('release_lease')).toHaveLength(1)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('comes at the end of a scope that is left, also by an error', async () => {
    const process = new StubProcess()
    const leave = async () => {
      await using lease = await process.lease()
      expect(lease.isHeld).toBe(true)
      throw new TypeError('of the scope')
    }
    await expect(leave()).rejects.toThrow('of the scope')
    expect(process.model.holding('job')).toBeUndefined()
  })

  // Whoever stops at the abort looks at isHeld last of all.
  test('has the lease given up already when its signal aborts', async () => {
    const lease = await new StubProcess().lease()
    let heldAtAbort: boolean | undefined
    lease.signal.addEventListener('abort', () => {
      heldAtAbort = lease.isHeld
    })
    await lease.release()
    expect(heldAtAbort).toBe(false)
  })

  test('is done once also if the listener of the signal releases, too', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    lease.signal.addEventListener('abort', () => void lease.release())
    await lease.release()
    expect(process.database.callsOf('release_lease')).toHaveLength(1)
  })
})

describe('the end of a lease that covers work', () => {
  const reason = new ResignedError('job')

  test('asks the work to stop, waits for it while renewals go on, then releases', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const { work, finish } = openWork()
    const running = lease.run(work)
    const ended = lease.end(reason, 60_000)
    expect(lease.signal.reason).toBe(reason)
    await process.clock.advance(30_000)
    expect(lease.isHeld).toBe(true)
    expect(process.database.callsOf('renew_leases').length).toBeGreaterThanOrEqual(6)
    expect(process.database.callsOf('release_lease')).toEqual([])
    expect(process.model.holding('job')).toBeDefined()

    finish()
    await running
    expect(await ended).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('releases also if the work fails', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const { work, fail } = openWork()
    const running = expect(lease.run(work)).rejects.toThrow('of the work')
    const ended = lease.end(reason, 60_000)
    fail(new TypeError('of the work'))
    await running
    expect(await ended).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
  })

  test('is bounded, and then leaves the lease to expire: nobody may begin while this one works', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const { work, finish } = openWork()
    void lease.run(work)
    const ended = lease.end(reason, 2000)
    await process.clock.advance(1999)
    expect(await settled(process, ended)).toBe(false)
    await process.clock.advance(1)
    expect(await ended).toBe(false)
    expect(process.log.messages('error')).toHaveLength(1)
    expect(process.database.callsOf('release_lease')).toEqual([])
    expect(process.model.holding('job')).toBeDefined()

    await process.clock.advance(15_000)
    expect(process.database.callsOf('renew_leases')).toEqual([])
    expect(lease.isHeld).toBe(false)
    expect(process.model.holding('job')).toBeUndefined()
    finish()
    await process.clock.settle()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('that was given up on can still be released, once the work has settled', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const { work, finish } = openWork()
    void lease.run(work)
    const ended = lease.end(reason, 100)
    await process.clock.advance(100)
    expect(await ended).toBe(false)
    finish()
    expect(await lease.release()).toBe(true)
  })

  test('comes at once without work, and once however often it is asked for', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const ends = [lease.end(reason, 1000), lease.end(new Error('later'), 5)]
    expect(await Promise.all(ends)).toEqual([true, true])
    expect(lease.signal.reason).toBe(reason)
    expect(process.database.callsOf('release_lease')).toHaveLength(1)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('of which the lease is lost while the work goes on waits for the work, and releases nothing', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    const { work, finish } = openWork()
    void lease.run(work)
    const ended = lease.end(reason, 60_000)
    process.model.force('job')
    await process.clock.advance(5000)
    expect(lease.loss).toBeInstanceOf(LeaseLostError)
    expect(await settled(process, ended)).toBe(false)
    finish()
    expect(await ended).toBe(true)
    expect(process.database.callsOf('release_lease')).toEqual([])
  })

  test('hands on what the work returns or throws, at once or later', async () => {
    const lease: Lease = await new StubProcess().lease()
    expect(await lease.run(() => 5)).toBe(5)
    expect(await lease.run(async ({ token }) => token)).toBe(lease.token)
    const failing = lease.run(() => {
      throw new RangeError('at once')
    })
    await expect(failing).rejects.toThrow('at once')
  })
})
