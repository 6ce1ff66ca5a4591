import { describe, expect, test } from 'vitest'
import { LeaseLostError } from '../../src/errors.ts'
import { Lease } from '../../src/lease.ts'
import { requestLease } from '../../src/request.ts'
import { connectionLost } from './support/pg-errors.ts'
import { busyRow, grantedRow, refusedRow } from './support/rows.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubProcess } from './support/stub-process.ts'

/** A TTL of 15 s, a deadline 14 s after sending, beats every 4.75 s at a random number of a half. */
const DEADLINE_MS = 14_000
const FIRST_BEAT_MS = 4750

/** Without renewals: what is lost is lost by time alone. */
async function leaseWithoutRenewals() {
  const process = new StubProcess()
  process.database.always('renew_leases', NEVER)
  const lease = await process.lease()
  return { process, lease, clock: process.clock }
}

describe('a lease', () => {
  test('is held for as long as it is renewed', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    await process.clock.advance(600_000)
    expect(lease.isHeld).toBe(true)
    expect(lease.signal.aborted).toBe(false)
    expect(process.model.grants).toHaveLength(1)
    expect(process.log.complaints).toEqual([])
    await lease.release()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('is not held in the very next line after its deadline, though no timer has fired', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    clock.pass(DEADLINE_MS - 1)
    expect(lease.isHeld).toBe(true)
    clock.pass(1)
    // The look aborts the signal, too: whoever looks can stop what does not.
    expect(lease.signal.aborted).toBe(false)
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.aborted).toBe(true)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
  })

  test('is not held after a suspend, though the monotonic clock stood still', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    clock.suspend(DEADLINE_MS + 20)
    clock.stepWall(-3_600_000)
    expect(lease.isHeld).toBe(false)
  })

  test('is held on when the wall clock is set back, and not longer for it', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    clock.stepWall(-3_600_000)
    expect(lease.remainingMs).toBe(DEADLINE_MS)
    clock.pass(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
  })

  test('aborts its signal at the deadline by itself', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    let abortedAtMs = Number.NaN
    lease.signal.addEventListener('abort', () => {
      abortedAtMs = clock.trueMs
    })
    await clock.advance(60_000)
    expect(abortedAtMs).toBe(DEADLINE_MS)
  })

  test('that was renewed aborts its signal at the deadline of its last renewal', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    await process.clock.advance(FIRST_BEAT_MS)
    process.database.always('renew_leases', NEVER)
    let abortedAtMs = Number.NaN
    lease.signal.addEventListener('abort', () => {
      abortedAtMs = process.clock.trueMs
    })
    await process.clock.advance(60_000)
    expect(abortedAtMs).toBe(FIRST_BEAT_MS + DEADLINE_MS)
  })

  test('aborts its signal after a suspend no later than at the next beat', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.clock.suspend(60_000)
    await process.clock.advance(process.timing.renewIntervalMs)
    expect(lease.signal.aborted).toBe(true)
  })

  test('is trusted from the sending of its request, however long the answer took', async () => {
    const process = new StubProcess({ queryTimeoutMs: 9000 })
    const { clock, database } = process
    const held = database.hold('acquire_lease')
    const asking = process.lease()
    await clock.advance(8000)
    ;(await held).answer(grantedRow(5))
    const lease = await asking
    expect(lease.remainingMs).toBe(DEADLINE_MS - 8000)
  })

  test('SlowSuccessfulRenewalDoesNotExtendTrust beyond its sending + TTL − margin', async () => {
    const process = new StubProcess({ queryTimeoutMs: 9000 })
    const { clock, database } = process
    const lease = await process.lease()
    const renewal = database.hold('renew_leases')
    await clock.advance(FIRST_BEAT_MS + 8000)
    ;(await renewal).answer(grantedRow(lease.token))
    await clock.settle()
    expect(lease.remainingMs).toBe(DEADLINE_MS - 8000)
  })

  test('is trusted no less when an early answer is overtaken by a late one', async () => {
    const process = new StubProcess()
    const { clock } = process
    const lease = await process.lease()
    const early = clock.now()
    await clock.advance(1000)
    await lease.renew()
    expect(lease.remainingMs).toBe(DEADLINE_MS)
    lease.extended(early, 15_000)
    expect(lease.remainingMs).toBe(DEADLINE_MS)
  })
})

test('a renewal that was sent after the deadline revives nothing, though nobody has looked since', async () => {
  const process = new StubProcess()
  const { clock } = process
  const lease = await process.lease()
  clock.pass(DEADLINE_MS)
  lease.extended(clock.now(), 15_000)
  expect(lease.isHeld).toBe(false)
  expect(lease.signal.aborted).toBe(true)
})

test('one that was sent before the deadline and answered after it leaves trust unbroken, if nobody has looked since', async () => {
  const process = new StubProcess()
  const { clock } = process
  const lease = await process.lease()
  clock.pass(DEADLINE_MS - 1)
  const sentAt = clock.now()
  clock.pass(2)
  lease.extended(sentAt, 15_000)
  expect(lease.remainingMs).toBe(DEADLINE_MS - 2)
})

describe('a request', () => {
  test('that is refused tells who holds the lease', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 9000)
    const answer = await requestLease(process.context, process.request())
    expect(answer).toMatchObject({ granted: false, holder: 'other', expiresInMs: 9000, rank: null })
    expect(process.model.line.candidates('job')).toEqual([])
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('whose yes comes after its deadline is refused: a late yes is a no', async () => {
    const process = new StubProcess()
    process.database.keepsTimeouts = false
    const asked = process.database.hold('acquire_lease')
    const asking = requestLease(process.context, process.request())
    const held = await asked
    process.clock.pass(DEADLINE_MS)
    held.answer(grantedRow(5))
    expect(await asking).toMatchObject({ granted: false, holder: 'me' })
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('that is answered by neither yes nor no grants nothing', async () => {
    const process = new StubProcess()
    process.database.next('acquire_lease', [busyRow()])
    const answer = await requestLease(process.context, process.request())
    expect(answer).not.toBeInstanceOf(Lease)
  })

  test('is pending until it is answered, also if it fails', async () => {
    const process = new StubProcess()
    const held = process.database.hold('acquire_lease')
    const asking = requestLease(process.context, process.request())
    expect(process.context.pending.size).toBe(1)
    ;(await held).fail(connectionLost())
    await expect(asking).rejects.toThrow('Connection terminated')
    expect(process.context.pending.size).toBe(0)
  })
})

describe('loss', () => {
  test('stays: a renewal that comes through later revives nothing and gives the lease back', async () => {
    const process = new StubProcess({ queryTimeoutMs: 9000 })
    const { clock, database, model } = process
    database.keepsTimeouts = false
    const lease = await process.lease()
    const renewal = database.hold('renew_leases')
    await clock.advance(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
    expect(model.holding('job')).toBeDefined()
    ;(await renewal).answer(grantedRow(lease.token))
    await clock.settle()
    expect(lease.isHeld).toBe(false)
    expect(database.callsOf('release_lease')).toMatchObject([{ arguments: { token: lease.token } }])
    expect(model.holding('job')).toBeUndefined()
    await clock.advance(60_000)
    expect(lease.isHeld).toBe(false)
    expect(clock.pendingTimers).toBe(0)
  })

  test('stays also if the clocks are set so that there seems to be time left', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    clock.stepWall(20_000)
    expect(lease.isHeld).toBe(false)
    clock.stepWall(-20_000)
    expect(lease.remainingMs).toBe(DEADLINE_MS)
    expect(lease.isHeld).toBe(false)
  })

  test.each([
    ['another holds it', refusedRow('usurper'), /usurper holds it now/],
    ['it has expired', { ...refusedRow('x'), holder: null }, /it has expired, or was taken away/],
  ])('is told by the database at a renewal: %s', async (_what, row, why) => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.database.next('renew_leases', [row])
    await process.clock.advance(4750)
    expect(lease.isHeld).toBe(false)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    expect(lease.signal.reason.message).toMatch(why)
    expect(lease.loss).toBe(lease.signal.reason)
    expect(process.context.held.size).toBe(0)
    expect(process.clock.pendingTimers).toBe(0)
    expect(process.log.messages('warn')).toEqual(['lost a lease'])
  })

  test('of the connection is not loss of the lease', async () => {
    const process = new StubProcess()
    const { clock, database } = process
    const lease = await process.lease()
    database.next('renew_leases', ...Array.from({ length: 17 }, () => connectionLost()))
    await clock.advance(13_500)
    expect(lease.isHeld).toBe(true)
    await clock.advance(60_000)
    expect(lease.isHeld).toBe(true)
  })

  test('is told to who asks for it once, and to who asks too late at once', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    let ended = 0
    lease.onEnded(() => {
      ended += 1
    })
    clock.pass(DEADLINE_MS)
    expect([lease.isHeld, lease.isHeld]).toEqual([false, false])
    await clock.advance(1000)
    expect(ended).toBe(1)
    lease.onEnded(() => {
      ended += 10
    })
    expect(ended).toBe(11)
  })
})

describe('assertHeld', () => {
  test('throws what ended the lease, and nothing before', async () => {
    const { lease, clock } = await leaseWithoutRenewals()
    expect(() => lease.assertHeld()).not.toThrow()
    clock.pass(DEADLINE_MS)
    expect(() => lease.assertHeld()).toThrow(LeaseLostError)
    expect(() => lease.assertHeld()).toThrow(/not renewed before its deadline/)
  })

  test('throws after a release', async () => {
    const lease = await new StubProcess().lease()
    await lease.release()
    expect(() => lease.assertHeld()).toThrow(/it was released/)
    expect(lease.loss).toBeUndefined()
  })
})

describe('renew', () => {
  test('renews now', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    await process.clock.advance(1000)
    await lease.renew()
    expect(lease.remainingMs).toBe(DEADLINE_MS)
    expect(process.database.callsOf('renew_leases')).toMatchObject([{ sentAtMs: 1000 }])
  })

  test('throws if the lease is lost, without asking', async () => {
    const { lease, clock, process } = await leaseWithoutRenewals()
    clock.pass(DEADLINE_MS)
    await expect(lease.renew()).rejects.toThrow(LeaseLostError)
    expect(process.database.callsOf('renew_leases')).toEqual([])
  })

  test('throws if the database says that it is lost', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.model.force('job')
    await expect(lease.renew()).rejects.toThrow(LeaseLostError)
    expect(lease.isHeld).toBe(false)
  })

  test('throws if the database cannot be asked; the lease is held on', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    process.database.next('renew_leases', connectionLost())
    await expect(lease.renew()).rejects.toMatchObject({ code: 'PG_ELECT_CONNECTION' })
    expect(lease.isHeld).toBe(true)
  })

  // Otherwise a caller that renews before a long step takes the old deadline for a new one.
  test('does not say that it has renewed when the answer was neither yes nor no', async () => {
    const process = new StubProcess()
    const lease = await process.lease()
    await process.clock.advance(1000)
    process.database.next('renew_leases', [busyRow()])
    await expect(lease.renew()).rejects.toThrow()
  })
})
