import { afterAll, beforeAll, expect, test } from 'vitest'
import { replayCommand, seed, sqlSchedules } from '../support/scale.ts'
import { runSchedule } from './run.ts'
import { VirtualDatabase } from './virtual-database.ts'

let database: VirtualDatabase
beforeAll(async () => {
  database = await VirtualDatabase.open()
})
afterAll(() => database.close())

const timeout = 120_000 + sqlSchedules * 200

test(`the SQL keeps its rules as time passes: ${sqlSchedules} schedules from seed ${seed}`, {
  timeout,
}, async () => {
  const began = performance.now()
  let steps = 0
  for (let number = 0; number < sqlSchedules; number += 1) {
    const run = await runSchedule(database, seed, number)
    steps += run.steps.length
    if (run.violations.length > 0) {
      const report = [...run.trace, ...run.violations, replayCommand('sql', seed, number)]
      expect.fail(`schedule ${number} of seed ${seed}:\n${report.join('\n')}`)
    }
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`SQL: ${sqlSchedules} schedules, ${steps} calls, seed ${seed}, 0 violations, ${seconds} s`)
})

test('a schedule that is run again goes the same way, step by step', async () => {
  const first = await runSchedule(database, seed, 7)
  await runSchedule(database, seed, 8)
  const again = await runSchedule(database, seed, 7)
  expect(again.trace.join('\n')).toBe(first.trace.join('\n'))
})
