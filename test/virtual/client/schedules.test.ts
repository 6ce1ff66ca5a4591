import { expect, test } from 'vitest'
import { seed } from '../support/scale.ts'
import { testHalf } from './proof.ts'
import { runSchedule } from './run.ts'

testHalf(0)

test('a schedule that is run again goes the same way, event by event', async () => {
  const traceOf = async (number: number) =>
    (await runSchedule(seed, number, { traced: true })).trace.join('\n')
  const numbers = Array.from({ length: 20 }, (_, number) => number)
  const first = await Promise.all(numbers.map(traceOf))
  for (const number of numbers.toReversed()) expect(await traceOf(number)).toBe(first[number])
})
