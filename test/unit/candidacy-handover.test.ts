import { describe, expect, test } from 'vitest'
import { candidate, held, inLine, timesOf, unhear } from './support/candidate.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubProcess } from './support/stub-process.ts'

/** A lease that was handed over lasts so long, and is trusted for a margin less. */
const ACCEPT_MS = 2000
const TRUST_MS = 1000

describe('a lease that was handed over', () => {
  /** The first look after the hand-off is answered so much later than the server has done it. */
  async function handedOver(latencyMs: number, ttlMs = 15_000) {
    const parts = await inLine(1, ttlMs)
    const { clock, model, lease, first } = parts
    first.process.database.keepsTimeouts = false
    await clock.advance(1000)
    const look = first.process.database.hold('get_candidacy')
    await lease.release()
    await clock.settle()
    const row = model.candidacy('job', 'candidate 0')
    await clock.advance(latencyMs)
    ;(await look).answer(row)
    await clock.settle()
    return parts
  }

  test('is trusted for the accept time less the margin, from the sending of the look', async () => {
    const { first } = await handedOver(400)
    expect(held(first.state.lease).remainingMs).toBe(TRUST_MS - 400)
  })

  test('is renewed after a third of that, and then trusted as any other', async () => {
    const { clock, first } = await handedOver(400)
    const lease = held(first.state.lease)
    await clock.advance(199)
    expect(timesOf(first.process, 'renew_leases')).toEqual([])
    await clock.advance(1)
    expect(timesOf(first.process, 'renew_leases')).toEqual([1600])
    expect(lease.remainingMs).toBe(14_000)
    await clock.advance(60_000)
    expect(lease.isHeld).toBe(true)
  })

  test('is no measure for one that was granted in full: that is renewed at its own interval', async () => {
    const process = new StubProcess({ renewIntervalMs: 9000 })
    await process.lease()
    await process.clock.advance(8550)
    expect(timesOf(process, 'renew_leases')).toEqual([8550])
  })

  test('is held no longer than that if no renewal comes through, which is before the next one is let in', async () => {
    const { clock, model, first } = await inLine()
    await clock.advance(1000)
    first.process.database.always('renew_leases', NEVER)
    model.release('job', 1001)
    const released = clock.trueMs
    await clock.settle()
    const lease = held(first.state.lease)
    await clock.advance(TRUST_MS - 1)
    expect(lease.isHeld).toBe(true)
    await clock.advance(1)
    expect(lease.signal.aborted).toBe(true)
    expect(lease.isHeld).toBe(false)
    expect(model.holding('job')?.expiresAtMs).toBe(released + ACCEPT_MS)
  })

  test('of a TTL that is shorter than the accept time is trusted for the TTL less the margin', async () => {
    const { first } = await handedOver(0, 1500)
    expect(held(first.state.lease).remainingMs).toBe(1350)
  })

  test('too late to be trusted is asked for at once, under the same token', async () => {
    const { clock, model, first } = await handedOver(TRUST_MS)
    expect(timesOf(first.process, 'acquire_lease')).toEqual([0, 1000 + TRUST_MS])
    const lease = held(first.state.lease)
    expect(lease.token).toBe(model.grants.at(-1)?.token)
    expect(model.grants).toHaveLength(2)
    expect(lease.remainingMs).toBe(14_000)
    await clock.advance(30_000)
    expect(lease.isHeld).toBe(true)
  })

  test('leaves no place behind, here or there', async () => {
    const { clock, model, first } = await handedOver(0)
    expect(model.line.candidates('job')).toEqual([])
    await clock.advance(60_000)
    expect(timesOf(first.process, 'refresh_candidates')).toEqual([])
    await first.state.lease?.release()
    expect(clock.pendingTimers).toBe(0)
  })

  test('in the moment in which the place was given is heard of, though the word comes before the answer', async () => {
    const { clock, model, lease, first } = await inLine()
    await lease.release()
    await clock.settle()
    const before = held(first.state.lease)
    const { database } = first.process
    const { network } = database
    database.network = async (serve) => {
      database.network = network
      const rows = await serve()
      model.release('job', before.token)
      return rows
    }
    const late = candidate(first.process, 'late')
    await clock.settle()
    expect(held(late.state.lease).isHeld).toBe(true)
    expect(timesOf(first.process, 'get_candidacy').at(-1)).toBe(clock.trueMs)
  })

  // The beat comes within the accept time where the TTL is short.
  test('of which the word was lost is found by the heartbeat', async () => {
    const { clock, model, lease, first } = await inLine(1, 3000)
    await clock.advance(1000)
    unhear(first.process)
    await lease.release()
    await clock.advance(1000)
    expect(held(first.state.lease).isHeld).toBe(true)
    expect(model.grants).toHaveLength(2)
  })

  test('of which the word was lost, and that has run out, is asked for again at the next beat', async () => {
    const { clock, model, lease, first } = await inLine()
    await clock.advance(4800)
    unhear(first.process)
    await lease.release()
    await clock.advance(ACCEPT_MS + 1)
    expect(first.state.lease).toBeUndefined()
    expect(model.holding('job')).toBeUndefined()
    await clock.advance(3000)
    expect(held(first.state.lease).isHeld).toBe(true)
  })

  test('to one that is dead goes to the next as soon as the accept time is over', async () => {
    const { clock, model, lease, first, all } = await inLine(2)
    await clock.advance(4800)
    // Refreshed a moment ago: its place lasts for 15 s.
    first.process.database.network = () => new Promise(() => {})
    await lease.release()
    expect(model.holding('job')?.holder).toBe('candidate 0')
    await clock.advance(ACCEPT_MS + 1)
    expect(all[1]?.state.lease).toBeUndefined()
    await clock.advance(1)
    expect(all[1]?.state.lease?.isHeld).toBe(true)
  })
})
