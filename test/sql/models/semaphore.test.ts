import fc from 'fast-check'
import { testModel } from './model.ts'
import { asks, checkShares, lookAtShares, others, type ShareCommand } from './shares.ts'

const capacities = fc.option(fc.integer({ min: 0, max: 4 }), { nil: null, freq: 8 })
const change: fc.WeightedArbitrary<ShareCommand> = {
  weight: 2,
  arbitrary: fc.record({ kind: fc.constant('capacity' as const), capacity: capacities }),
}
// Now and then one wants to be alone.
const exclusive = fc.oneof(
  { weight: 9, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
)
const cases = fc.record({
  capacity: fc.integer({ min: 0, max: 3 }),
  commands: fc.array(fc.oneof(asks(exclusive), others, change), { minLength: 1, maxLength: 18 }),
})

testModel('a semaphore', cases, lookAtShares, (real, { capacity, commands }) =>
  checkShares(real, commands, capacity),
)
