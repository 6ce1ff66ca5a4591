import { expect, it } from 'vitest'
import { fairness, median, quantile, spread } from '../../../bench/harness/statistics.ts'

const oneToHundred = Array.from({ length: 100 }, (_, i) => 100 - i)

it('finds the value at a part of the sorted list', () => {
  expect(quantile(oneToHundred, 0)).toBe(1)
  expect(quantile(oneToHundred, 0.5)).toBe(51)
  expect(quantile(oneToHundred, 0.99)).toBe(100)
  expect(quantile(oneToHundred, 1)).toBe(100)
  expect(quantile([], 0.5)).toBeNaN()
})

it('sorts by size, not by letters', () => {
  expect(median([100, 20, 3])).toBe(20)
})

it('takes the middle of the two in the middle where there is none', () => {
  expect(median([1, 4, 2, 100])).toBe(3)
  expect(median([7])).toBe(7)
  expect(median([])).toBeNaN()
})

it('tells how far the middle half lies apart', () => {
  expect(spread([10, 10, 10, 10])).toBe(0)
  expect(spread([1, 8, 10, 12, 1000])).toBe(0.4)
})

it('calls it fair, by Jain, if all have the same, and 1/n if one has all', () => {
  expect(fairness([7, 7, 7, 7])).toBe(1)
  expect(fairness([9, 0, 0, 0])).toBe(0.25)
  expect(fairness([1, 2, 3])).toBeCloseTo(36 / 42)
  expect(fairness([0, 0])).toBeNaN()
})
