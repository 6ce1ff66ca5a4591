import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultSeed } from '../support/scale.ts'
import { sqlFaults } from './faults.ts'
import { runSchedule } from './run.ts'
import { VirtualDatabase } from './virtual-database.ts'

/** The rarest needs about a hundred. */
const SCHEDULES_MAX = 1_000

let database: VirtualDatabase
beforeAll(async () => {
  database = await VirtualDatabase.open()
})
afterAll(() => database.close())

describe(`each fault in the SQL is found, seed ${faultSeed}`, () => {
  test.each(sqlFaults)('$name', { timeout: 300_000 }, async (fault) => {
    const found = await database.withFault(fault, async () => {
      for (let number = 0; number < SCHEDULES_MAX; number += 1) {
        const { violations } = await runSchedule(database, faultSeed, number)
        if (violations.length > 0) return number + 1
      }
      return undefined
    })
    expect(found).toBeDefined()
  })
})
