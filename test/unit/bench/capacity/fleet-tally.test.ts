import { expect, it } from 'vitest'
import { DEFAULTS } from '../../../../bench/capacity/fleet-options.ts'
import {
  askedPerSecond,
  type FleetFigures,
  FleetTally,
  quantilesOf,
  shortcomings,
} from '../../../../bench/capacity/fleet-tally.ts'

const good: FleetFigures = {
  askedPerSecond: 2000,
  reachedPerSecond: 1990,
  leasesPerSecond: 1990,
  beatP50Ms: 1,
  beatP99Ms: 2,
  waitP99Ms: 0,
  takeovers: 0,
  takeoverP50Ms: Number.NaN,
  takeoverP99Ms: Number.NaN,
  walBytesPerSecond: 1,
  pageImages: 0,
  serverCores: 1,
  simulatorCores: 0.2,
  hotPercent: 100,
  backlog: 0,
  counts: { lost: 0, lapsed: 0, timedOut: 0, failed: 0, crashes: 5 },
}

it('asks for a beat of each process, a place of each candidate, and the looks of those that poll', () => {
  const fleet = { ...DEFAULTS, processes: 9_500, ttlMs: 15_000 }
  expect(askedPerSecond(fleet)).toBeCloseTo(2000)
  expect(askedPerSecond({ ...fleet, leases: 100, isBySession: true })).toBeCloseTo(2000)
  expect(askedPerSecond({ ...fleet, following: 'listen' })).toBeCloseTo(4000)
  expect(askedPerSecond({ ...fleet, following: 'poll' })).toBeCloseTo(4000 + 19_000)
  // Four looks in a TTL of a second.
  expect(askedPerSecond({ ...fleet, ttlMs: 1000, following: 'poll' })).toBeCloseTo(60_000 + 38_000)
})

it('counts the wait for a connection as a part of the beat, and those that a client would have given up', () => {
  const tally = new FleetTally()
  tally.beat({ dueMs: 0, begunMs: 1, answeredMs: 5000 }, 3000)
  expect(tally.beatMs).toEqual([])
  tally.isCounting = true
  tally.beat({ dueMs: 0, begunMs: 900, answeredMs: 1000 }, 3000)
  tally.beat({ dueMs: 0, begunMs: 2000, answeredMs: 3001 }, 3000)
  expect(quantilesOf(tally)).toMatchObject({
    beatP50Ms: 3001,
    beatP99Ms: 3001,
    waitP99Ms: 2000,
    takeovers: 0,
  })
  expect(tally.counts.timedOut).toBe(1)
})

it('keeps up if nothing is lost, late, given up or left over', () => {
  expect(shortcomings(good)).toEqual([])
  expect(
    shortcomings({ ...good, counts: { ...good.counts, lost: 3, lapsed: 2, timedOut: 1, failed: 4 } }),
  ).toEqual([
    '3 leases lost',
    '2 leases renewed past their deadline',
    '1 beats given up',
    '4 statements failed',
  ])
  expect(shortcomings({ ...good, reachedPerSecond: 1500 })).toEqual(['75 % of the statements'])
  expect(shortcomings({ ...good, reachedPerSecond: 1790 })).toHaveLength(1)
  expect(shortcomings({ ...good, reachedPerSecond: 1810 })).toEqual([])
})

it('says so where it was not the server that was too slow, but the simulation', () => {
  const busy = { ...good, reachedPerSecond: 1500, simulatorCores: 0.95 }
  expect(shortcomings(busy)).toContain('the simulation itself was at its limit')
  expect(shortcomings({ ...good, simulatorCores: 0.95 })).toEqual([])
})
