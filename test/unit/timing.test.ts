import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { InvalidArgumentError } from '../../src/errors.ts'
import { resolveTiming, type TimingOptions, TTL_MS_MAX, TTL_MS_MIN } from '../../src/timing.ts'

describe('durations left out', () => {
  test('follow from a TTL of 15 seconds', () => {
    expect(resolveTiming({})).toEqual({
      ttlMs: 15_000,
      renewIntervalMs: 5000,
      safetyMarginMs: 1000,
      retryIntervalMs: 500,
      queryTimeoutMs: 3000,
    })
  })

  test('fit any TTL that the database takes', () => {
    const ttl = fc.double({ min: TTL_MS_MIN, max: TTL_MS_MAX, noNaN: true })
    fc.assert(
      fc.property(ttl, (ttlMs) => {
        const timing = resolveTiming({ ttlMs })
        const { renewIntervalMs, safetyMarginMs, retryIntervalMs, queryTimeoutMs } = timing
        const trustMs = ttlMs - safetyMarginMs
        expect(renewIntervalMs).toBe(ttlMs / 3)
        expect(safetyMarginMs).toBe(Math.min(1000, ttlMs / 10))
        expect(retryIntervalMs).toBeGreaterThanOrEqual(20)
        expect(retryIntervalMs).toBeLessThanOrEqual(1000)
        expect(queryTimeoutMs).toBeGreaterThanOrEqual(1)
        // After a first beat that got no answer two more fit before the deadline.
        expect(renewIntervalMs + 3 * queryTimeoutMs).toBeLessThanOrEqual(trustMs)
        expect(renewIntervalMs + retryIntervalMs).toBeLessThanOrEqual(trustMs)
      }),
    )
  })

  test('fit also the shortest and the longest TTL', () => {
    expect(resolveTiming({ ttlMs: TTL_MS_MIN })).toMatchObject({ safetyMarginMs: 10, retryIntervalMs: 20 })
    expect(resolveTiming({ ttlMs: TTL_MS_MAX })).toMatchObject({
      safetyMarginMs: 1000,
      retryIntervalMs: 1000,
    })
  })
})

describe('durations given', () => {
  test('are taken as they are', () => {
    const timing = {
      ttlMs: 1000,
      renewIntervalMs: 200,
      safetyMarginMs: 300,
      retryIntervalMs: 50,
      queryTimeoutMs: 100,
    }
    expect(resolveTiming(timing)).toEqual(timing)
    expect(resolveTiming({ safetyMarginMs: 0 }).safetyMarginMs).toBe(0)
  })

  const refused: [options: TimingOptions, message: RegExp][] = [
    [{ ttlMs: 99 }, /^Invalid ttlMs: expected milliseconds from 100 to 86400000, got 99$/],
    [{ ttlMs: 86_400_001 }, /^Invalid ttlMs: .* got 86400001$/],
    [{ ttlMs: -1 }, /got -1$/],
    [{ ttlMs: 0 }, /got 0$/],
    [{ ttlMs: Number.NaN }, /got NaN$/],
    [{ ttlMs: Number.POSITIVE_INFINITY }, /got Infinity$/],
    [{ ttlMs: Number.NEGATIVE_INFINITY }, /got -Infinity$/],
    [{ ttlMs: '1000' as never }, /^Invalid ttlMs: .* got string$/],
    [{ ttlMs: 1000n as never }, /got bigint$/],
    [{ ttlMs: {} as never }, /got object$/],
    [
      { renewIntervalMs: 0 },
      /^Invalid renewIntervalMs: expected milliseconds from 1 to ttlMs \(15000\), got 0$/,
    ],
    [{ renewIntervalMs: 15_001 }, /^Invalid renewIntervalMs: .* got 15001$/],
    [{ renewIntervalMs: Number.NaN }, /^Invalid renewIntervalMs: .* got NaN$/],
    [
      { ttlMs: 1000, renewIntervalMs: 900 },
      /^Invalid renewIntervalMs: expected less than ttlMs − safetyMarginMs \(900\).*, got 900$/,
    ],
    [{ ttlMs: 1000, renewIntervalMs: 1000 }, /^Invalid renewIntervalMs: expected less than .*, got 1000$/],
    [{ ttlMs: 1000, safetyMarginMs: 1000 }, /^Invalid renewIntervalMs: expected less than .* \(0\)/],
    [{ safetyMarginMs: -1 }, /^Invalid safetyMarginMs: .* from 0 to ttlMs \(15000\), got -1$/],
    [{ safetyMarginMs: 15_001 }, /^Invalid safetyMarginMs: .* got 15001$/],
    [{ safetyMarginMs: Number.POSITIVE_INFINITY }, /^Invalid safetyMarginMs: .* got Infinity$/],
    [{ retryIntervalMs: 0 }, /^Invalid retryIntervalMs: .* got 0$/],
    [
      { retryIntervalMs: 9001 },
      /^Invalid retryIntervalMs: .* to ttlMs − safetyMarginMs − renewIntervalMs \(9000\), got 9001$/,
    ],
    [{ retryIntervalMs: Number.NaN }, /^Invalid retryIntervalMs: .* got NaN$/],
    [{ queryTimeoutMs: 0 }, /^Invalid queryTimeoutMs: .* got 0$/],
    [{ queryTimeoutMs: 9001 }, /^Invalid queryTimeoutMs: .* \(9000\), got 9001$/],
    [{ queryTimeoutMs: true as never }, /^Invalid queryTimeoutMs: .* got boolean$/],
  ]

  test.each(refused)('%o are refused, with what was expected and what came', (options, message) => {
    let thrown: unknown
    try {
      resolveTiming(options)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(InvalidArgumentError)
    expect(thrown).toMatchObject({
      code: 'PG_ELECT_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    })
  })

  test('are accepted only where a renewal comes before the deadline, and an attempt ends before it', () => {
    const span = fc.double({ min: -10, max: 3000, noNaN: false })
    const options = fc.record(
      {
        ttlMs: span,
        renewIntervalMs: span,
        safetyMarginMs: span,
        retryIntervalMs: span,
        queryTimeoutMs: span,
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(options, (given) => {
        try {
          const timing = resolveTiming(given)
          const trustMs = timing.ttlMs - timing.safetyMarginMs
          expect(timing.renewIntervalMs).toBeLessThan(trustMs)
          expect(timing.renewIntervalMs + timing.retryIntervalMs).toBeLessThanOrEqual(trustMs + 1e-6)
          expect(timing.renewIntervalMs + timing.queryTimeoutMs).toBeLessThanOrEqual(trustMs + 1e-6)
        } catch (error) {
          if (!(error instanceof InvalidArgumentError)) throw error
        }
      }),
    )
  })
})
