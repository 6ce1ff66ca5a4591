import { expect, test } from 'vitest'
import { clientSchedules, replayCommand, seed } from '../support/scale.ts'
import { hunt } from './hunt.ts'
import { runSchedule } from './run.ts'

const timeout = 180_000 + clientSchedules * 20

test(`clients keep their promises whatever happens: ${clientSchedules} schedules from seed ${seed}`, {
  timeout,
}, async () => {
  const began = performance.now()
  const { found, ran, terms } = await hunt(seed, clientSchedules)
  if (found !== undefined) {
    const { trace } = await runSchedule(seed, found.number, { traced: true })
    const report = [...trace, ...found.violations, replayCommand('client', seed, found.number)]
    expect.fail(`schedule ${found.number} of seed ${seed}:\n${report.join('\n')}`)
  }
  // Otherwise it would prove nothing.
  expect(terms).toBeGreaterThan(2 * ran)
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`clients: ${ran} schedules, ${terms} terms, seed ${seed}, 0 violations, ${seconds} s`)
})

test('a schedule that is run again goes the same way, event by event', async () => {
  const traceOf = async (number: number) =>
    (await runSchedule(seed, number, { traced: true })).trace.join('\n')
  const numbers = Array.from({ length: 20 }, (_, number) => number)
  const first = await Promise.all(numbers.map(traceOf))
  for (const number of numbers.toReversed()) expect(await traceOf(number)).toBe(first[number])
})
