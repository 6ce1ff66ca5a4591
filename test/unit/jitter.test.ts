import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jittered } from '../../src/jitter.ts'
import { ALMOST_ONE } from './support/random.ts'

test('a jittered span lies within its part of the given one, on both sides', () => {
  expect(jittered(1000, () => 0)).toBe(900)
  expect(jittered(1000, () => 0.5)).toBe(1000)
  expect(jittered(1000, () => ALMOST_ONE)).toBeCloseTo(1100)
  expect(jittered(1000, () => 0, 0.5)).toBe(500)
  expect(jittered(1000, () => ALMOST_ONE, 0.5)).toBeCloseTo(1500)
})

test('no randomness makes it negative or more than twice as long', () => {
  const part = fc.double({ min: 0, max: ALMOST_ONE, noNaN: true })
  fc.assert(
    fc.property(fc.nat(1e9), part, part, (spanMs, random, spread) => {
      const span = jittered(spanMs, () => random, spread)
      expect(span).toBeGreaterThanOrEqual(0)
      expect(span).toBeLessThanOrEqual(2 * spanMs)
    }),
  )
})
