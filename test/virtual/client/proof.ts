/** The schedules of the client as a test. Two files have half of them each, so that two cores have work. */
import { expect, test } from 'vitest'
import { clientSchedules, replayCommand, seed } from '../support/scale.ts'
import { hunt } from './hunt.ts'
import { runSchedule } from './run.ts'

export function testHalf(first: 0 | 1): void {
  const title = `clients keep their promises whatever happens: half of ${clientSchedules} schedules from seed ${seed}`
  test(title, { timeout: 180_000 + clientSchedules * 40 }, async () => {
    const began = performance.now()
    const { found, ran, terms } = await hunt(seed, clientSchedules, { first, each: 2 })
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
}
