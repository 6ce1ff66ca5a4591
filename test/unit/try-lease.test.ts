import { describe, expect, test } from 'vitest'
import { AccessDeniedError, ConnectionError } from '../../src/errors.ts'
import { giveBackLater, tryLease } from '../../src/try-lease.ts'
import { ModelLeases } from './support/model-leases.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { seededRandom } from './support/random.ts'
import { NEVER } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

/** What becomes of one statement: it goes through, never arrives, or its answer is lost. */
type Fate = 'through' | 'lost' | 'answer lost'

/** The next statements meet these fates, those behind them the last one. */
function fates(process: StubProcess, ...all: Fate[]): void {
  process.database.network = async (serve) => {
    const fate = all.length > 1 ? all.shift() : all[0]
    if (fate === 'lost') throw connectionLost()
    const answer = await serve()
    if (fate === 'answer lost') throw connectionLost()
    return answer
  }
}

function setUp(seed = 1) {
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const random = seededRandom(seed)
  const process = new StubProcess({ clock, model, random })
  const asked = () => process.database.callsOf('acquire_lease')
  const left = () => process.database.callsOf('leave_queue')
  const ask = () =>
    tryLease(process.context, process.request()).then(
      (lease) => lease,
      (error: unknown) => error,
    )
  return { clock, model, process, timing: process.timing, asked, left, ask }
}

describe('a connection that is torn while a lease is asked for', () => {
  test.each<[string, Fate[]]>([
    ['the request was lost', ['lost', 'through']],
    ['the answer was lost', ['answer lost', 'through']],
    ['both happened, more than once', ['answer lost', 'lost', 'answer lost', 'lost', 'through']],
  ])('is settled by asking again under the same name: %s', async (_what, all) => {
    const { clock, model, process, ask, asked, left } = setUp()
    fates(process, ...all)
    const asking = ask()
    await clock.advance(process.timing.queryTimeoutMs)
    const lease = await asking
    expect(lease).toMatchObject({ isHeld: true, holder: 'me' })
    expect(model.holding('job')).toMatchObject({ holder: 'me', token: (lease as { token: number }).token })
    expect(new Set(asked().map((call) => call.arguments.holder))).toEqual(new Set(['me']))
    expect(asked()).toHaveLength(all.length)
    expect(left()).toEqual([])
  })

  test('under many callers at once, whose requests are one statement, locks nobody out, in 100 schedules', async () => {
    const outcomes = { leases: 0, unknown: 0, together: 0 }
    for (let seed = 1; seed <= 100; seed++) {
      const { clock, model, process } = setUp(seed)
      const random = seededRandom(seed * 11)
      const kinds: Fate[] = ['through', 'lost', 'answer lost', 'answer lost']
      const all = Array.from({ length: 40 }, () => kinds[Math.floor(random() * kinds.length)] as Fate)
      fates(process, ...all, 'through')
      const names = ['a', 'b', 'c', 'd']
      const asking = names.map((name) =>
        tryLease(process.context, process.request(name, `me ${name}`)).catch((error: unknown) => error),
      )
      await clock.advance(process.timing.ttlMs / 2)
      for (const [place, outcome] of (await Promise.all(asking)).entries()) {
        const holding = model.holding(names[place] as string)
        if (outcome instanceof ConnectionError) {
          outcomes.unknown += 1
          expect([seed, holding]).toEqual([seed, undefined])
        } else {
          outcomes.leases += 1
          expect([seed, holding?.token]).toEqual([seed, (outcome as { token: number }).token])
        }
      }
      outcomes.together += process.database.callsOf('acquire_leases').length
    }
    for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(20)
  })

  test('locks nobody out, whatever happened, in 300 schedules', async () => {
    const outcomes = { lease: 0, none: 0, unknown: 0 }
    for (let seed = 1; seed <= 300; seed++) {
      const { clock, model, process, ask, left } = setUp(seed)
      const random = seededRandom(seed * 7)
      const kinds: Fate[] = ['through', 'lost', 'answer lost', 'lost', 'answer lost']
      const all = Array.from({ length: 25 }, () => kinds[Math.floor(random() * kinds.length)] as Fate)
      fates(process, ...all, 'through')
      if (random() < 0.1) model.acquire('job', 'other', 60_000)
      const asking = ask()
      await clock.advance(process.timing.ttlMs / 2)
      const outcome = await asking
      if (outcome instanceof ConnectionError) {
        outcomes.unknown += 1
        expect(left().length).toBeGreaterThan(0)
        // What may have been granted has been given back.
        expect(model.holding('job')?.holder).not.toBe('me')
      } else if (outcome === null) {
        outcomes.none += 1
        expect(model.holding('job')).toMatchObject({ holder: 'other' })
      } else {
        outcomes.lease += 1
        expect(model.holding('job')).toMatchObject({ token: (outcome as { token: number }).token })
      }
    }
    expect(outcomes.lease + outcomes.none + outcomes.unknown).toBe(300)
    expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(5)
  })

  test('is asked about for one more query timeout, then given back as soon as the database answers', async () => {
    const { clock, model, process, timing, ask, asked, left } = setUp()
    fates(process, 'answer lost', 'lost')
    const asking = ask()
    await clock.advance(timing.queryTimeoutMs)
    expect(await asking).toBeInstanceOf(ConnectionError)
    expect(Math.max(...asked().map(({ sentAtMs }) => sentAtMs))).toBeLessThan(timing.queryTimeoutMs)
    expect(asked().length).toBeGreaterThan(2)
    await clock.advance(3000)
    expect(model.holding('job')).toMatchObject({ holder: 'me' })
    fates(process, 'through')
    await clock.advance(1.5 * timing.retryIntervalMs)
    expect(model.holding('job')).toBeUndefined()
    const times = left().length
    await clock.advance(60_000)
    expect(left()).toHaveLength(times)
    expect(clock.pendingTimers).toBe(0)
  })

  test('is not asked about for longer than it could be trusted', async () => {
    const { clock, process, timing, ask, asked } = setUp()
    process.database.network = () => new Promise(() => {})
    const asking = ask()
    await clock.advance(timing.ttlMs)
    expect(await asking).toBeInstanceOf(ConnectionError)
    for (const { sentAtMs } of asked()) expect(sentAtMs).toBeLessThan(timing.ttlMs - timing.safetyMarginMs)
  })

  test('is given back for a TTL at most: by then it has expired', async () => {
    const { clock, process, timing, ask, left } = setUp()
    fates(process, 'lost')
    const asking = ask()
    await clock.advance(timing.queryTimeoutMs)
    await asking
    await clock.advance(10 * timing.ttlMs)
    expect(left().at(-1)?.sentAtMs).toBeLessThan(timing.queryTimeoutMs + timing.ttlMs)
    expect(clock.pendingTimers).toBe(0)
    expect(process.context.pending.size).toBe(0)
  })

  test('is settled when another holds it: null', async () => {
    const { clock, model, process, ask } = setUp()
    model.acquire('job', 'other', 60_000)
    fates(process, 'answer lost', 'through')
    const asking = ask()
    await clock.advance(process.timing.queryTimeoutMs)
    expect(await asking).toBeNull()
  })

  test('is given back if asking again cannot help', async () => {
    const { clock, model, process, ask } = setUp()
    process.database.next('acquire_lease', (call) => {
      model.acquire('job', `${call.arguments.holder}`, 15_000)
      throw connectionLost()
    })
    process.database.next('acquire_lease', serverError('42501'))
    const asking = ask()
    await clock.advance(process.timing.queryTimeoutMs)
    expect(await asking).toBeInstanceOf(AccessDeniedError)
    expect(model.holding('job')).toBeUndefined()
  })

  test('is given back at once if it came too late to be trusted', async () => {
    const { clock, model, process, timing, ask } = setUp()
    process.database.network = async (serve) => {
      const answer = await serve()
      // It lay there while the machine slept.
      clock.suspend(timing.ttlMs - timing.safetyMarginMs)
      process.database.network = (next) => next()
      return answer
    }
    expect(await ask()).toBeNull()
    expect(model.grants).toHaveLength(1)
    expect(model.holding('job')).toBeUndefined()
  })

  test('keeps the client open until it is settled, and while it is being given back', async () => {
    const { clock, process, ask } = setUp()
    const asking = ask()
    expect(process.context.pending.size).toBeGreaterThan(0)
    await asking
    expect(process.context.pending.size).toBe(0)
    process.database.always('leave_queue', NEVER)
    giveBackLater(process.context, process.request())
    await clock.settle()
    expect(process.context.pending.size).toBe(1)
    await clock.advance(process.timing.queryTimeoutMs)
    expect(process.context.pending.size).toBe(0)
  })
})

describe('a failure that says what became of the request', () => {
  test.each([
    ['it was never sent', new ConnectionError('down', { mayHaveTakenEffect: false })],
    ['another transaction was in the way', serverError('55P03')],
    ['the server is read-only', serverError('25006')],
    ['the role may not', serverError('42501')],
  ])('is thrown at once: %s', async (_what, error) => {
    const { process, ask, asked, left } = setUp()
    process.database.next('acquire_lease', error)
    expect(await ask()).toBe(error)
    expect(asked()).toHaveLength(1)
    expect(left()).toEqual([])
  })
})
