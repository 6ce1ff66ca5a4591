import { describe, expect, test } from 'vitest'
import type { Lease } from '../../src/lease.ts'
import { NOBODY_KNOWN } from '../../src/lease-calls.ts'
import { received, requestLease } from '../../src/request.ts'
import { resolveTiming } from '../../src/timing.ts'
import { candidate, held } from './support/candidate.ts'
import { ModelLeases } from './support/model-leases.ts'
import { sessionRow } from './support/model-sessions.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { busyRow, grantedRow } from './support/rows.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

/** Beats 4,750 ms apart, deadlines 14 s after the sending, retries half a second apart, three seconds for an answer. */
const TTL_MS = 15_000
const BEAT_MS = 4_750
const TRUST_MS = 14_000

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('expected one')
  return value
}

function setUp() {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const process = new StubProcess({ clock, model, ttlMs: TTL_MS, session: true })
  const { database } = process
  const many = async (count: number): Promise<Lease[]> => {
    const leases: Lease[] = []
    for (let place = 0; place < count; place++)
      leases.push(await process.lease(`lease ${place}`, `me ${place}`))
    return leases
  }
  /** What was asked, in order, from the given call on. */
  const asked = (from = 0) => database.calls.slice(from).map(({ name }) => name)
  /** Whether the database says so, too. */
  const isKnown = ({ name, token }: Lease) => model.holding(name)?.token === token
  return { clock, model, process, database, many, asked, isKnown, keeper: present(process.keeper) }
}

/** The process has a session, and so many leases in it. */
async function withLeases(count = 1) {
  const parts = setUp()
  const leases = await parts.many(count)
  await parts.clock.advance(BEAT_MS)
  expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
  expect(parts.asked().filter((name) => name === 'open_session')).toHaveLength(1)
  const [lease] = leases
  return { ...parts, leases, lease: present(lease), from: parts.database.calls.length }
}

describe('a client with a session', () => {
  test('opens it with the first beat, and renews nothing else from then on', async () => {
    const { clock, many, asked, database } = setUp()
    const leases = await many(1000)
    expect(asked()).not.toContain('open_session')
    const before = database.calls.length
    await clock.advance(BEAT_MS)
    expect(asked(before)).toEqual(['open_session', ...Array(4).fill('renew_leases')])
    expect(database.callsOf('renew_leases').map((call) => (call.arguments.names as string[]).length)).toEqual(
      Array(4).fill(250),
    )
    const opened = database.calls.length
    await clock.advance(10 * BEAT_MS)
    expect(asked(opened)).toEqual(Array(10).fill('renew_session'))
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
  })

  test('has none for what is given back before its first beat', async () => {
    const { clock, process, asked } = setUp()
    for (let time = 0; time < 10; time++) {
      const lease = await process.lease()
      await clock.advance(1000)
      await lease.release()
    }
    expect(new Set(asked())).toEqual(new Set(['acquire_lease', 'release_lease']))
    expect(clock.pendingTimers).toBe(0)
  })

  test('takes what is granted later along with a beat', async () => {
    const { clock, process, asked, from } = await withLeases()
    await clock.advance(BEAT_MS / 2)
    const later = await process.lease('later')
    await clock.advance(BEAT_MS / 2)
    expect(asked(from)).toEqual(['acquire_lease', 'renew_session', 'renew_leases'])
    await clock.advance(5 * BEAT_MS)
    expect(asked(from).slice(3)).toEqual(Array(5).fill('renew_session'))
    expect(later.isHeld).toBe(true)
  })

  test('keeps by themselves those that have durations of their own, and those that a connection keeps', async () => {
    const { clock, process, asked, keeper } = setUp()
    const timing = resolveTiming({ ttlMs: 30_000 })
    const own = { ...process.request('own', 'own'), timing }
    const bound = { ...process.request('bound', 'bound'), isBound: true }
    for (const request of [own, bound]) await requestLease(process.context, request)
    await clock.advance(20_000)
    expect(asked()).not.toContain('open_session')
    expect(process.database.callsOf('renew_leases').at(-1)?.arguments.session).toBeUndefined()
    // Such as the mutexes that wait in the queue of the server.
    const answer = { ...NOBODY_KNOWN, granted: true, lease: 'queue', token: 7, expiresInMs: null }
    received(process.context, process.request('queue'), clock.now(), answer, async () => true)
    await clock.advance(TTL_MS / 2)
    expect(asked()).not.toContain('open_session')
    const share = { isExclusive: false, capacity: null }
    expect(keeper.keeps({ ...process.request(), share })).toBe(false)
    // The same durations, written out.
    expect(keeper.keeps({ ...process.request(), timing: resolveTiming({ ttlMs: TTL_MS }) })).toBe(true)
  })

  test('ends it once nothing is left in it', async () => {
    const { clock, lease, database, asked, from } = await withLeases()
    expect(await lease.release()).toBe(true)
    expect(database.callsOf('release_lease').at(-1)?.arguments.session).toBe('session 1')
    await clock.advance(BEAT_MS)
    expect(asked(from)).toEqual(['release_lease', 'end_session'])
    expect(clock.pendingTimers).toBe(0)
  })

  test('gives many back together as what they are: no losses', async () => {
    const { clock, leases, database, model, process } = await withLeases(3)
    const [first, ...others] = leases as [Lease, Lease, Lease]
    await Promise.all(others.map((one) => one.release()))
    expect(database.callsOf('release_leases').at(-1)?.arguments.session).toBe('session 1')
    expect(model.sessions.renew('session 1')).toMatchObject({ lost_names: undefined })
    await clock.advance(TTL_MS)
    expect(first.isHeld).toBe(true)
    expect(process.keeper?.session).toBe('session 1')
  })

  test('sets no timer for each of ten thousand leases at every beat', async () => {
    const { clock, many } = setUp()
    await many(10_000)
    let set = 0
    const setTimer = clock.setTimer.bind(clock)
    await clock.advance(BEAT_MS)
    clock.setTimer = (callback, delayMs) => {
      set += 1
      return setTimer(callback, delayMs)
    }
    await clock.advance(BEAT_MS)
    expect(set).toBeLessThan(10)
  })
})

describe('trust', () => {
  test('begins with the sending of the renewal, however late its answer comes', async () => {
    const { clock, database, lease } = await withLeases()
    const renewal = database.hold('renew_session')
    await clock.advance(BEAT_MS)
    await clock.advance(2_900)
    ;(await renewal).answer(sessionRow(true, TTL_MS))
    await clock.settle()
    expect(lease.remainingMs).toBe(TRUST_MS - 2_900)
  })

  test('begins with the sending of the statement that binds the lease, too', async () => {
    const { clock, process, database } = setUp()
    const lease = await process.lease()
    const binding = database.hold('renew_leases')
    await clock.advance(BEAT_MS)
    await clock.advance(2_900)
    ;(await binding).answer(grantedRow(lease.token))
    await clock.settle()
    expect(lease.remainingMs).toBe(TRUST_MS - 2_900)
  })

  test('of a lease that could not be bound is its own: the session says nothing of it', async () => {
    const { clock, process, database, lease } = await withLeases()
    const late = await process.lease('late')
    database.always('renew_leases', connectionLost())
    await clock.advance(TRUST_MS - 1)
    expect([lease.isHeld, late.isHeld]).toEqual([true, true])
    await clock.advance(1)
    expect([lease.isHeld, late.isHeld]).toEqual([true, false])
  })

  test('ends where no renewal is granted, after quick retries', async () => {
    const { clock, database, leases, asked, isKnown, from } = await withLeases(3)
    database.always('renew_session', connectionLost())
    await clock.advance(TRUST_MS - 1)
    expect(leases.every((one) => one.isHeld && isKnown(one))).toBe(true)
    expect(asked(from).filter((name) => name === 'renew_session').length).toBeGreaterThan(15)
    await clock.advance(1)
    expect(leases.some(({ isHeld }) => isHeld)).toBe(false)
    expect(leases.every(({ signal }) => signal.aborted)).toBe(true)
  })

  test('is not longer than the database says that the session lasts', async () => {
    const { clock, database, lease } = await withLeases()
    database.always('renew_session', [sessionRow(true, 6_000)])
    await clock.advance(BEAT_MS)
    database.always('renew_session', connectionLost())
    await clock.advance(TRUST_MS - BEAT_MS)
    expect(lease.isHeld).toBe(false)
  })

  test('counts no renewal that was sent after a deadline that nobody saw', async () => {
    const { clock, database, lease, model } = await withLeases()
    // The server goes on, this process does not.
    const renewal = database.hold('renew_session')
    await clock.advance(BEAT_MS)
    clock.pass(TRUST_MS)
    ;(await renewal).fail(connectionLost())
    await clock.settle()
    await clock.advance(1_000)
    expect(lease.isHeld).toBe(false)
    expect(model.grants).toHaveLength(1)
  })

  test('is never longer than what the database promises: a lease is bound to a session that was renewed after its grant', async () => {
    const { clock, process, database, isKnown } = await withLeases()
    await clock.advance(BEAT_MS - 100)
    const late = await process.lease('late')
    await late.renew()
    expect(isKnown(late)).toBe(true)
    // From here on nothing gets through.
    database.always('renew_session', connectionLost())
    database.always('renew_leases', connectionLost())
    for (let passed = 0; passed < TTL_MS; passed += 50) {
      if (late.isHeld) expect(isKnown(late)).toBe(true)
      await clock.advance(50)
    }
    expect(late.isHeld).toBe(false)
  })

  test('of a lease that comes while the session is being renewed is bound by the next renewal of that', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    // A lease that was handed over lasts for nearly a whole TTL here, and is due along with the beat that is under way.
    const timing = { ttlMs: 2_001, renewIntervalMs: 1_600, safetyMarginMs: 20 }
    const process = new StubProcess({ clock, model, ...timing, session: true })
    const { database } = process
    await process.lease('first', 'first')
    await clock.advance(1_600)
    const leader = new StubProcess({ clock, model, ttlMs: TTL_MS })
    const lease = await leader.lease('job', 'leader')
    const { state } = candidate(process)
    await clock.settle()
    database.next('renew_session', () => {
      const row = model.sessions.renew('session 1')
      return new Promise((resolve) => clock.setTimer(() => resolve([row]), 80))
    })
    while (database.inFlight('renew_session') === 0) await clock.advance(1)
    await clock.advance(70)
    await lease.release()
    await clock.settle()
    const late = held(state.lease)
    // From here on nothing but that answer gets through, and what is asked together with it.
    for (const name of ['renew_session', 'open_session']) database.always(name, connectionLost())
    while (late.isHeld) {
      expect(model.holding('job')?.token).toBe(late.token)
      await clock.advance(1)
    }
  })

  test.each([
    ['says neither yes nor no', [sessionRow(null)]],
    ['is never answered', NEVER],
  ])('goes on if one renewal %s: it is tried again soon', async (_, answer) => {
    const { clock, database, lease, asked, from } = await withLeases()
    database.next('renew_session', answer)
    await clock.advance(BEAT_MS + 3_600)
    expect(asked(from)).toEqual(['renew_session', 'renew_session'])
    expect(lease.remainingMs).toBeGreaterThan(TRUST_MS - 3_600)
  })

  test('is renewed soon after a lost connection', async () => {
    const { clock, database, asked, from } = await withLeases()
    await clock.advance(100)
    database.emit('lost')
    await clock.advance(250)
    expect(asked(from)).toEqual(['renew_session'])
  })
})

describe('a session that has ended', () => {
  test('takes all its leases with it at once; what is granted then gets another', async () => {
    const { clock, model, process, leases } = await withLeases(3)
    model.sessions.end('session 1')
    await clock.advance(BEAT_MS)
    expect(leases.map(({ signal }) => signal.reason)).toEqual(
      leases.map(({ name }) => expect.objectContaining({ leaseName: name, code: 'PG_ELECT_LEASE_LOST' })),
    )
    expect(process.context.held.size).toBe(0)
    const next = await process.lease('lease 0', 'me again')
    await clock.advance(BEAT_MS)
    expect(process.keeper?.session).toBe('session 2')
    expect(next.isHeld).toBe(true)
  })

  test('while a lease is being bound to it costs that nothing: it is bound to another', async () => {
    const { clock, model, process, database, lease } = await withLeases()
    await clock.advance(BEAT_MS / 2)
    const late = await process.lease('late')
    database.next('renew_session', () => {
      const row = model.sessions.renew('session 1')
      model.sessions.end('session 1')
      return [row]
    })
    await clock.advance(BEAT_MS / 2 + 1_000)
    expect(lease.isHeld).toBe(false)
    expect(late.isHeld).toBe(true)
    expect(process.keeper?.session).toBe('session 2')
    await clock.advance(TTL_MS)
    expect(late.isHeld).toBe(true)
  })

  test('to one lease only, as a statement says, is asked for again and again until that one is decided', async () => {
    const { clock, database, process, lease } = await withLeases()
    const late = await process.lease('late')
    database.next('renew_leases', serverError('LE004'), serverError('LE004'))
    await clock.advance(BEAT_MS + 1_500)
    expect(process.keeper?.session).toBe('session 1')
    await clock.advance(TTL_MS)
    expect([lease.isHeld, late.isHeld]).toEqual([true, true])
  })
})

describe('on a server in another epoch', () => {
  test('another session is opened, to which each lease is bound by its token', async () => {
    const { clock, model, database, leases, asked, process, from } = await withLeases(600)
    model.sessions.failOver()
    await clock.advance(BEAT_MS)
    expect(asked(from)).toEqual(['renew_session', 'open_session', ...Array(3).fill('renew_leases')])
    const batches = database.callsOf('renew_leases').slice(-3)
    expect(batches.map((call) => (call.arguments.names as string[]).length)).toEqual([250, 250, 100])
    await clock.advance(2 * TTL_MS)
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
    expect(process.keeper?.session).toBe('session 2')
    expect(model.grants).toHaveLength(600)
  })

  test('a lease that the server does not know is lost, and no other', async () => {
    const { clock, model, leases } = await withLeases(3)
    model.sessions.failOver()
    model.force('lease 1')
    await clock.advance(BEAT_MS)
    expect(leases.map(({ isHeld }) => isHeld)).toEqual([true, false, true])
  })

  test('nothing is trusted beyond its deadline while no session can be opened', async () => {
    const { clock, model, database, leases } = await withLeases(3)
    model.sessions.failOver()
    database.always('open_session', connectionLost())
    await clock.advance(TRUST_MS - 1)
    expect(leases.every(({ isHeld }) => isHeld)).toBe(true)
    await clock.advance(1)
    expect(leases.some(({ isHeld }) => isHeld)).toBe(false)
  })
})

describe('a lease of a session', () => {
  test('that was taken away is lost with the next beat, and no other', async () => {
    const { clock, model, leases, asked, from } = await withLeases(3)
    model.force('lease 1')
    await clock.advance(BEAT_MS)
    expect(leases.map(({ isHeld }) => isHeld)).toEqual([true, false, true])
    expect(asked(from)).toEqual(['renew_session', 'renew_leases'])
    // It is told of ever again, and is nobody's any more.
    await clock.advance(4 * BEAT_MS)
    expect(asked(from).slice(2)).toEqual(Array(4).fill('renew_session'))
    expect(leases.map(({ isHeld }) => isHeld)).toEqual([true, false, true])
  })

  test('that is told as lost, but held under its token, is kept', async () => {
    const { clock, model, lease, asked, from } = await withLeases()
    model.sessions.lose('session 1', lease.name, lease.token)
    await clock.advance(4 * BEAT_MS)
    expect(lease.isHeld).toBe(true)
    // Each time it is asked for by itself.
    expect(asked(from)).toEqual(Array(4).fill(['renew_session', 'renew_leases']).flat())
  })

  test('that was handed over is bound within its time to accept', async () => {
    const { clock, model, process, keeper } = setUp()
    const leader = new StubProcess({ clock, model, ttlMs: TTL_MS })
    const lease = await leader.lease('job', 'leader')
    const { state } = candidate(process)
    await clock.settle()
    await lease.release()
    await clock.advance(2_000)
    expect(held(state.lease).isHeld).toBe(true)
    expect(keeper.session).toBe('session 1')
    await clock.advance(4 * TTL_MS)
    expect(held(state.lease).isHeld).toBe(true)
  })

  test('is renewed out of turn by renewing the session, once for all who ask', async () => {
    const { clock, leases, asked, from } = await withLeases(3)
    await clock.advance(1_000)
    await Promise.all(leases.map((one) => one.renew()))
    expect(asked(from).length).toBeLessThanOrEqual(2)
    expect(new Set(asked(from))).toEqual(new Set(['renew_session']))
    expect(leases.map(({ remainingMs }) => remainingMs)).toEqual([TRUST_MS, TRUST_MS, TRUST_MS])
  })

  test('that cannot be renewed out of turn says so, and is held still', async () => {
    const { database, lease } = await withLeases()
    database.next('renew_session', [sessionRow(null)])
    await expect(lease.renew()).rejects.toMatchObject({ code: 'PG_ELECT_BUSY' })
    database.next('renew_session', connectionLost())
    await expect(lease.renew()).rejects.toMatchObject({ code: 'PG_ELECT_CONNECTION' })
    expect(lease.isHeld).toBe(true)
  })

  test('at whose row another transaction is, is bound soon after', async () => {
    const { clock, process, database } = setUp()
    const lease = await process.lease()
    database.next('renew_leases', [busyRow()])
    await clock.advance(BEAT_MS + 600)
    expect(database.callsOf('renew_leases')).toHaveLength(2)
    await clock.advance(TTL_MS)
    expect(lease.isHeld).toBe(true)
  })
})

describe('what the session may keep though nobody holds it here', () => {
  test('is given back, if its release did not come through', async () => {
    const { clock, model, database, leases } = await withLeases(2)
    const [one, other] = leases as [Lease, Lease]
    database.next('release_lease', connectionLost(), connectionLost(), connectionLost())
    const released = one.release()
    await clock.advance(5_000)
    expect(await released).toBe(false)
    // Otherwise for ever.
    await clock.advance(2 * TTL_MS)
    expect(model.holding(one.name)).toBeUndefined()
    expect(other.isHeld).toBe(true)
    const calls = database.callsOf('release_leases').length
    await clock.advance(2 * TTL_MS)
    expect(database.callsOf('release_leases')).toHaveLength(calls)
  })

  test('is no more what was given back at the second attempt', async () => {
    const { clock, database, leases } = await withLeases(2)
    const [one] = leases as [Lease]
    database.next('release_lease', connectionLost())
    const released = one.release()
    await clock.advance(1_000)
    expect(await released).toBe(true)
    await clock.advance(3 * TTL_MS)
    expect(database.callsOf('release_leases')).toEqual([])
  })

  test('is given back, if it was lost here only', async () => {
    const { clock, model, lease, process, database } = await withLeases()
    // The process stands still, and the answer to what it asked before comes when its time is over; others keep the session.
    const renewal = database.hold('renew_session')
    await clock.advance(BEAT_MS)
    clock.pass(TRUST_MS - BEAT_MS)
    model.sessions.renew('session 1')
    await clock.advance(1)
    expect(lease.isHeld).toBe(false)
    ;(await renewal).fail(connectionLost())
    await process.lease('other')
    await clock.advance(2 * TTL_MS)
    expect(model.holding(lease.name)).toBeUndefined()
  })

  test('is given back no more, if its holder has it again under the same token', async () => {
    const { clock, model, process, leases, database } = await withLeases(2)
    const [one] = leases as [Lease]
    one.lose('it was lost here only')
    const again = await process.lease(one.name, one.holder)
    expect(again.token).toBe(one.token)
    await clock.advance(4 * TTL_MS)
    expect(database.callsOf('release_leases')).toEqual([])
    expect(again.isHeld).toBe(true)
    expect(model.holding(one.name)?.token).toBe(again.token)
  })

  test('expires by itself, if its work does not stop', async () => {
    const { clock, model, leases } = await withLeases(2)
    const [one, other] = leases as [Lease, Lease]
    void one.run(() => new Promise(() => {}))
    const ended = one.end(new Error('stop'), 1_000)
    await clock.advance(1_500)
    expect(await ended).toBe(false)
    // Not before.
    await clock.advance(TRUST_MS)
    expect(model.holding(one.name)?.token).toBe(one.token)
    await clock.advance(1_500)
    expect(model.holding(one.name)).toBeUndefined()
    expect(other.isHeld).toBe(true)
  })
})

describe('at the close of its client', () => {
  test('the session ends', async () => {
    const { clock, lease, keeper, asked, from } = await withLeases()
    await lease.release()
    await keeper.close()
    expect(asked(from)).toEqual(['release_lease', 'end_session'])
    expect(clock.pendingTimers).toBe(0)
  })

  test('work that does not stop keeps its lease until that expires', async () => {
    const { clock, model, lease, keeper, asked, from } = await withLeases()
    void lease.run(() => new Promise(() => {}))
    const ended = lease.end(new Error('stop'), 1_000)
    await clock.advance(1_000)
    expect(await ended).toBe(false)
    await keeper.close()
    expect(asked(from)).toEqual(['renew_leases', 'end_session'])
    expect(model.holding(lease.name)?.token).toBe(lease.token)
    await clock.advance(TTL_MS)
    expect(model.holding(lease.name)).toBeUndefined()
  })

  test('work that does not stop keeps its lease also where that cannot be taken out of the session', async () => {
    const { clock, model, lease, keeper, database, asked, from } = await withLeases()
    void lease.run(() => new Promise(() => {}))
    const ended = lease.end(new Error('stop'), 1_000)
    await clock.advance(1_000)
    expect(await ended).toBe(false)
    database.always('renew_leases', [busyRow()])
    await keeper.close()
    expect(asked(from)).toEqual(['renew_leases'])
    expect(model.holding(lease.name)?.token).toBe(lease.token)
    await clock.advance(TTL_MS)
    expect(model.holding(lease.name)).toBeUndefined()
  })

  test('a database that does not answer holds nobody up', async () => {
    const { clock, lease, keeper, database } = await withLeases()
    await lease.release()
    database.always('end_session', NEVER)
    const closed = keeper.close()
    await clock.advance(3_100)
    await closed
    expect(clock.pendingTimers).toBe(0)
  })

  test('whoever waits for a renewal is told', async () => {
    const { clock, lease, keeper, database } = await withLeases()
    database.always('renew_session', NEVER)
    const outcomes = [lease.renew().catch((error) => error)]
    await clock.settle()
    outcomes.push(lease.renew().catch((error) => error))
    const closed = keeper.close()
    await clock.advance(3_100)
    await closed
    expect(await Promise.all(outcomes)).toMatchObject([
      { code: 'PG_ELECT_CONNECTION' },
      { code: 'PG_ELECT_CLOSED' },
    ])
  })
})
