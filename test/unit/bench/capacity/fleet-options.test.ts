import { expect, it } from 'vitest'
import { DEFAULTS, readFleetOptions } from '../../../../bench/capacity/fleet-options.ts'
import { describeFleet } from '../../../../bench/capacity/fleet-page.ts'

it('is what is asked for, else what is usual', () => {
  expect(readFleetOptions({})).toEqual(DEFAULTS)
  const options = readFleetOptions({ processes: '20', leases: '100', sessions: true, ttl: '3000' })
  expect(options).toEqual({ ...DEFAULTS, processes: 20, leases: 100, isBySession: true, ttlMs: 3000 })
  expect(describeFleet(options)).toBe('20 × 100 by session, TTL 3 s')
  expect(describeFleet({ ...DEFAULTS, connections: 64, following: 'poll' })).toBe(
    '10,000 × 1 by `renew_leases`, and as many candidates that poll, 64 connections',
  )
})

it.each([
  [{ processes: '0' }, '--processes: expected a whole number from 1 to 1000000, got 0'],
  [{ ttl: '15s' }, '--ttl: expected a whole number from 100 to 86400000, got 15s'],
  [{ connections: '1.5' }, '--connections: expected a whole number from 1 to 200, got 1.5'],
  [{ crashes: '' }, '--crashes: expected a whole number'],
  [{ follow: 'push' }, '--follow: expected listen or poll, got push'],
  [{ follow: 'poll', leases: '2' }, 'expected it with --leases 1 only, got --leases 2'],
  [{ follow: 'poll', sessions: true }, 'expected it without --sessions'],
])('refuses %o', (given, message) => {
  expect(() => readFleetOptions(given)).toThrow(message)
})
