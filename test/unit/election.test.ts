import { describe, expect, test } from 'vitest'
import type { Election, Leadership } from '../../src/election.ts'
import { AlreadyCampaigningError, LeaseLostError, ResignedError } from '../../src/errors.ts'
import { connectionLost } from './support/pg-errors.ts'
import { refusedRow } from './support/rows.ts'
import { StubProcess } from './support/stub-process.ts'

/** What an election tells, in order, each with the state that it has at that moment. */
function record(election: Election): string[] {
  const told: string[] = []
  election.on('state', (state) => void told.push(`state ${state}: ${election.state}`))
  election.on('elected', ({ isHeld }) => void told.push(`elected, held ${isHeld}: ${election.state}`))
  election.on('demoted', ({ isHeld }) => void told.push(`demoted, held ${isHeld}: ${election.state}`))
  return told
}

const ELECTED = ['state candidate: candidate', 'state leader: leader', 'elected, held true: leader']
const DEMOTED = ['demoted, held false: follower', 'state follower: follower']

function elected(election: Election): Promise<Leadership> {
  return election.campaign()
}

describe('the state of an election', () => {
  test('is follower, candidate, leader, follower, and each is told in order', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 1000)
    const election = process.election()
    const told = record(election)
    expect(election.state).toBe('follower')
    const campaign = election.campaign()
    expect(election.state).toBe('candidate')
    await process.clock.advance(1100)
    const leadership = await campaign
    expect(told).toEqual(ELECTED)
    await leadership.release()
    expect(told).toEqual([...ELECTED, ...DEMOTED])
  })

  test('is follower in the very next line after the deadline, though no timer has fired', async () => {
    const process = new StubProcess()
    const election = process.election()
    const told = record(election)
    const leadership = await elected(election)
    process.clock.pass(14_000)
    expect(election.state).toBe('follower')
    expect(leadership.signal.reason).toBeInstanceOf(LeaseLostError)
    expect(told).toEqual([...ELECTED, ...DEMOTED])
  })

  test('is told when the lease is taken away, no later than at the next beat', async () => {
    const process = new StubProcess()
    const election = process.election()
    const told = record(election)
    await elected(election)
    process.model.force('job')
    await process.clock.advance(5000)
    expect(told).toEqual([...ELECTED, ...DEMOTED])
  })

  test('is follower again after a campaign that was called off, or failed', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    const election = process.election()
    const told = record(election)
    const stop = new AbortController()
    const campaign = election.campaign({ signal: stop.signal })
    const reason = new Error('no more')
    stop.abort(reason)
    await expect(campaign).rejects.toBe(reason)
    expect(election.state).toBe('follower')
    expect(told).toEqual(['state candidate: candidate', 'state follower: follower'])
    process.database.always('acquire_lease', new TypeError('of the driver'))
    await expect(election.campaign()).rejects.toThrow('of the driver')
    expect(election.state).toBe('follower')
  })

  // A listener that throws is its owner's fault, but the work that the lease covers must be told to stop all the same.
  test('that a listener cannot bear aborts the signal all the same', async () => {
    const process = new StubProcess()
    const election = process.election()
    const leadership = await elected(election)
    election.on('demoted', () => {
      throw new TypeError('of the listener')
    })
    process.database.next('renew_leases', [refusedRow('usurper')])
    await process.clock.advance(5000)
    expect(leadership.signal.aborted).toBe(true)
  })

  test('that a listener cannot bear does not keep a lease that nobody has', async () => {
    const process = new StubProcess()
    const election = process.election()
    election.on('elected', () => {
      throw new TypeError('of the listener')
    })
    const outcome = await election.campaign().catch(() => undefined)
    await process.clock.advance(60_000)
    // Either the campaign returns its leadership, or it has given it back.
    expect(outcome !== undefined || process.model.holding('job') === undefined).toBe(true)
  })
})

describe('campaign', () => {
  test('twice at once is refused, while a candidate and while leading', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 1000)
    const election = process.election()
    const campaign = election.campaign()
    await expect(election.campaign()).rejects.toThrow(AlreadyCampaigningError)
    expect(election.state).toBe('candidate')
    await process.clock.advance(1100)
    const leadership = await campaign
    await expect(election.campaign()).rejects.toThrow(/it is leader already/)
    expect(leadership.isHeld).toBe(true)
    await leadership.release()
    expect((await elected(election)).token).toBeGreaterThan(leadership.token)
  })

  test('has a holder of its own each time: two contenders of one process exclude each other', async () => {
    const process = new StubProcess()
    const first = await elected(process.election())
    const other = process.election()
    const campaign = other.campaign()
    await process.clock.advance(60_000)
    expect(other.state).toBe('candidate')
    await first.release()
    await process.clock.advance(10)
    const second = await campaign
    expect(second.holder).not.toBe(first.holder)
  })

  test("ends with the signal's reason, or with that of the client's closing", async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'other', 60_000)
    const reason = new Error('closing')
    const campaigns = [
      process.election().campaign({ signal: new AbortController().signal }),
      process.election().campaign(),
    ]
    process.closing.abort(reason)
    for (const campaign of campaigns) await expect(campaign).rejects.toBe(reason)
    await process.clock.settle()
    expect(process.clock.pendingTimers).toBe(0)
  })

  // The release of the old leadership got through, its answer was lost, and it is tried again while the new one begins.
  test('while an old leadership is still being released keeps hold of the new one', async () => {
    const process = new StubProcess()
    const election = process.election()
    const old = await elected(election)
    process.database.next('release_lease', () => {
      process.model.force('job')
      throw connectionLost()
    })
    const released = old.release()
    await process.clock.settle()
    const leadership = await elected(election)
    await process.clock.advance(1000)
    await released
    expect(leadership.isHeld).toBe(true)
    expect(election.state).toBe('leader')
  })
})

describe('resign', () => {
  test('does nothing unless this process leads', async () => {
    const process = new StubProcess()
    const election = process.election()
    expect(await election.resign()).toBe(true)
    expect(process.database.calls).toEqual([])
  })

  test('without work releases at once, with its own reason', async () => {
    const process = new StubProcess()
    const election = process.election()
    const leadership = await elected(election)
    expect(await election.resign()).toBe(true)
    expect(leadership.signal.reason).toBeInstanceOf(ResignedError)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('drains until the work has settled, and holds the lease meanwhile', async () => {
    const process = new StubProcess({ drainTimeoutMs: 60_000 })
    const election = process.election()
    let finish = () => {}
    const stop = new AbortController()
    const leading = election.lead(() => new Promise<void>((resolve) => (finish = resolve)), {
      signal: stop.signal,
    })
    await process.clock.settle()
    const resigned = election.resign()
    await process.clock.advance(30_000)
    expect(election.state).toBe('draining')
    expect(process.model.holding('job')).toBeDefined()
    expect(process.database.callsOf('release_lease')).toEqual([])
    finish()
    expect(await resigned).toBe(true)
    expect(process.model.holding('job')).toBeUndefined()
    stop.abort(new Error('enough'))
    await expect(leading).rejects.toThrow('enough')
  })

  test('tells when the work has not stopped in time; the lease is left to expire', async () => {
    const process = new StubProcess({ drainTimeoutMs: 2000 })
    const election = process.election()
    const stop = new AbortController()
    let finish = () => {}
    const leading = election.lead(() => new Promise<void>((resolve) => (finish = resolve)), {
      signal: stop.signal,
    })
    const ended = expect(leading).rejects.toThrow('enough')
    await process.clock.settle()
    const resigned = election.resign()
    await process.clock.advance(2000)
    expect(await resigned).toBe(false)
    expect(process.model.holding('job')).toBeDefined()
    await process.clock.advance(15_000)
    expect(process.model.holding('job')).toBeUndefined()
    expect(process.model.grants).toHaveLength(1)
    stop.abort(new Error('enough'))
    finish()
    await ended
  })
})
