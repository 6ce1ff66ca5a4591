import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { longerTrust, remainingMs, trustFrom } from '../../src/deadline.ts'
import { StubClock } from './support/stub-clock.ts'

const TTL_MS = 15_000
const MARGIN_MS = 1000

const duration = fc.integer({ min: 100, max: 86_400_000 })

describe('trust', () => {
  test('lasts one TTL from sending, less the safety margin', () => {
    const clock = new StubClock()
    const trust = trustFrom(clock.now(), TTL_MS, MARGIN_MS)
    expect(remainingMs(trust, clock.now())).toBe(14_000)
    clock.pass(13_999)
    expect(remainingMs(trust, clock.now())).toBe(1)
    clock.pass(1)
    expect(remainingMs(trust, clock.now())).toBe(0)
    clock.pass(5)
    expect(remainingMs(trust, clock.now())).toBe(-5)
  })

  test('SlowSuccessfulRenewalDoesNotExtendTrust: how long the answer took changes nothing', () => {
    fc.assert(
      fc.property(duration, fc.nat(100_000), fc.nat(100_000), (ttlMs, answerTookMs, laterMs) => {
        const clock = new StubClock()
        const sentAt = clock.now()
        clock.pass(answerTookMs)
        const trust = trustFrom(sentAt, ttlMs, ttlMs / 10)
        clock.pass(laterMs)
        expect(remainingMs(trust, clock.now())).toBe(ttlMs - ttlMs / 10 - answerTookMs - laterMs)
      }),
    )
  })

  test('a late yes is a no', () => {
    const clock = new StubClock()
    const sentAt = clock.now()
    clock.pass(TTL_MS - MARGIN_MS)
    expect(remainingMs(trustFrom(sentAt, TTL_MS, MARGIN_MS), clock.now())).toBeLessThanOrEqual(0)
  })

  test('a suspend ends it, a wall clock set back does not prolong it', () => {
    const clock = new StubClock()
    const trust = trustFrom(clock.now(), TTL_MS, MARGIN_MS)
    clock.pass(5000)
    clock.stepWall(-3_600_000)
    expect(remainingMs(trust, clock.now())).toBe(9000)
    clock.suspend(60_000)
    expect(remainingMs(trust, clock.now())).toBeLessThanOrEqual(0)
  })

  test('ends before the database may grant to another, whatever the clocks do here', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(10_000) }),
      fc.record({ kind: fc.constant('suspend' as const), ms: fc.nat(10_000) }),
      fc.record({ kind: fc.constant('stepWall' as const), ms: fc.integer({ min: -1e7, max: 1e7 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        const clock = new StubClock()
        const sentAtMs = clock.trueMs
        const trust = trustFrom(clock.now(), TTL_MS, MARGIN_MS)
        for (const { kind, ms } of steps) clock[kind](ms)
        const isBelieved = remainingMs(trust, clock.now()) > 0
        const isExpired = clock.trueMs >= sentAtMs + TTL_MS
        expect(isBelieved && isExpired).toBe(false)
      }),
    )
  })
})

describe('of two spans of trust', () => {
  test('the one that ends later counts, in whatever order the answers came', () => {
    fc.assert(
      fc.property(fc.nat(20_000), duration, duration, (betweenMs, ttlMs, otherTtlMs) => {
        const clock = new StubClock()
        const one = trustFrom(clock.now(), ttlMs, 0)
        clock.pass(betweenMs)
        const other = trustFrom(clock.now(), otherTtlMs, 0)
        clock.pass(100)
        const now = clock.now()
        const expected = Math.max(remainingMs(one, now), remainingMs(other, now))
        expect(remainingMs(longerTrust(one, other, now), now)).toBe(expected)
        expect(remainingMs(longerTrust(other, one, now), now)).toBe(expected)
      }),
    )
  })

  test('an answer that overtakes another never shortens trust', () => {
    const clock = new StubClock()
    const early = trustFrom(clock.now(), TTL_MS, MARGIN_MS)
    clock.pass(4000)
    const late = trustFrom(clock.now(), TTL_MS, MARGIN_MS)
    clock.pass(1000)
    expect(longerTrust(late, early, clock.now())).toBe(late)
    expect(longerTrust(early, late, clock.now())).toBe(late)
  })
})
