import { expect, it } from 'vitest'
import { BEATS_PER_TTL, project } from '../../../../bench/capacity/projection.ts'

const one = { leases: 1, cpuMicros: 200, walBytes: 100, pageImageBytes: 0 }
const load = { leases: 9_500, ttlMs: 15_000, checkpointMs: 300_000 }

it('counts a statement for each batch, a little more often than thrice a TTL', () => {
  expect(BEATS_PER_TTL).toBeCloseTo(3.158, 3)
  expect(project(one, load).statementsPerSecond).toBeCloseTo(2000)
  expect(project({ ...one, leases: 100 }, load).statementsPerSecond).toBeCloseTo(20)
  expect(project(one, { ...load, ttlMs: 60_000 }).statementsPerSecond).toBeCloseTo(500)
})

it('counts megabytes of the log an hour, and processors', () => {
  const { walMegabytesPerHour, cores } = project(one, load)
  expect(walMegabytesPerHour).toBeCloseTo((2000 * 100 * 3600) / 1e6)
  expect(cores).toBeCloseTo(0.4)
})

it('counts whole pages once after each checkpoint', () => {
  const withImages = project({ ...one, pageImageBytes: 300 }, load)
  // 9,500 leases, 300 bytes each, twelve times an hour.
  expect(withImages.pageImageMegabytesPerHour).toBeCloseTo((9_500 * 300 * 12) / 1e6)
  expect(withImages.walMegabytesPerHour - project(one, load).walMegabytesPerHour).toBeCloseTo(
    withImages.pageImageMegabytesPerHour,
  )
})

it('counts no more whole pages than there are beats', () => {
  const rare = project({ ...one, pageImageBytes: 300 }, { ...load, ttlMs: 24 * 3_600_000 })
  expect(rare.pageImageMegabytesPerHour).toBeCloseTo((rare.statementsPerSecond * 300 * 3600) / 1e6)
})

it('has no figure for processors where the cost could not be seen', () => {
  expect(project({ ...one, cpuMicros: Number.NaN }, load).cores).toBeNaN()
})
