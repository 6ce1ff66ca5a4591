import { expect, it } from 'vitest'
import {
  formatAbsent,
  formatNumber,
  formatPercent,
  formatRatio,
  formatSeconds,
} from '../../../bench/harness/format.ts'

it('writes three digits, and no more of large numbers than they have', () => {
  expect([12_345.6, 1.2345, 0.045_678, 0, Number.NaN].map(formatNumber)).toEqual([
    '12,346',
    '1.23',
    '0.0457',
    '0',
    '–',
  ])
})

it('writes a duration as people say it', () => {
  expect([300, 12_345, 59_960, 187_400].map(formatSeconds)).toEqual([
    '0.3 s',
    '12.3 s',
    '1 min 0 s',
    '3 min 7 s',
  ])
})

it('does not round a small ratio to nothing', () => {
  expect([12.34, 1.234, 0.5, 0.007_512, Number.POSITIVE_INFINITY].map(formatRatio)).toEqual([
    '12.3 ×',
    '1.23 ×',
    '0.50 ×',
    '0.0075 ×',
    '–',
  ])
})

it('has no percentage of what is none', () => {
  expect([0.123, Number.POSITIVE_INFINITY].map(formatPercent)).toEqual(['12 %', '–'])
})

it('names those together that are absent for the same reason', () => {
  const absent = [
    { contestant: 'a', why: 'not installed' },
    { contestant: 'b', why: 'takes long' },
    { contestant: 'c', why: 'not installed' },
  ]
  expect(formatAbsent(absent)).toEqual(['not run: a, c: not installed', 'not run: b: takes long'])
})
