import { expect, it } from 'vitest'
import { toldCount, toldFairness, toldMost, toldQuantile } from '../../../bench/harness/told.ts'

const rounds = [{ ms: [1, 2, 3] }, { ms: [100] }, {}]

it('takes the values of all rounds together', () => {
  expect(toldQuantile('p50 ms', 'ms', 0.5).over(rounds)).toBe(3)
  expect(toldQuantile('p99 ms', 'ms', 0.99).over(rounds)).toBe(100)
  expect(toldMost('worst', 'ms').over(rounds)).toBe(100)
  expect(toldCount('n', 'ms').over(rounds)).toBe(4)
})

it('is fair if all got the same in the end, though in no single round', () => {
  const shares = [{ grants: [10, 0] }, { grants: [0, 10] }]
  expect(toldFairness('Jain', 'grants').over(shares)).toBe(1)
  expect(toldFairness('Jain', 'grants').over(shares.slice(1))).toBe(0.5)
})

it('says nothing of the fairness of a few', () => {
  expect(toldFairness('Jain', 'grants').over([{ grants: [5, 4] }])).toBeNaN()
  expect(toldFairness('Jain', 'grants').over([{ grants: [6, 4] }])).toBeCloseTo(100 / 104)
})

it('says nothing where nothing was measured', () => {
  expect(toldQuantile('p50 ms', 'ms', 0.5).over([{}])).toBeNaN()
  expect(toldFairness('Jain', 'grants').over([])).toBeNaN()
  expect(Number.isFinite(toldMost('worst', 'ms').over([]))).toBe(false)
})
