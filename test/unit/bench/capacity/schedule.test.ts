import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Schedule } from '../../../../bench/capacity/schedule.ts'

it('has nothing to take, and no next one, while it is empty', () => {
  const schedule = new Schedule<string>()
  expect(schedule.nextAtMs).toBe(Number.POSITIVE_INFINITY)
  expect(schedule.take(1e9)).toBeUndefined()
})

it('gives only what is due by then, and says when the next one is', () => {
  const schedule = new Schedule<string>()
  schedule.add(20, 'later')
  schedule.add(10, 'sooner')
  expect(schedule.nextAtMs).toBe(10)
  expect(schedule.take(9)).toBeUndefined()
  expect(schedule.take(10)).toEqual({ atMs: 10, item: 'sooner' })
  expect(schedule.take(19)).toBeUndefined()
  expect(schedule.nextAtMs).toBe(20)
  expect(schedule.size).toBe(1)
})

it('gives all, each once, in the order in which they are due, also where some are added meanwhile', () => {
  const steps = fc.array(fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constant('take' as const)))
  fc.assert(
    fc.property(steps, (all) => {
      const schedule = new Schedule<number>()
      const expected: number[] = []
      for (const [place, step] of all.entries()) {
        if (step !== 'take') {
          schedule.add(step, place)
          expected.push(step)
          continue
        }
        expected.sort((a, b) => a - b)
        const taken = schedule.take(Number.POSITIVE_INFINITY)
        expect(taken?.atMs).toBe(expected.shift())
        if (taken !== undefined) expect(all[taken.item]).toBe(taken.atMs)
      }
      expect(schedule.size).toBe(expected.length)
    }),
  )
})
