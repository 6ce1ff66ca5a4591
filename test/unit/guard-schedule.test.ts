import { expect, test } from 'vitest'
import { drawSchedule } from '../faults/guard/schedule.ts'

const many = Array.from({ length: 500 }, (_, number) => drawSchedule(1, number))

test('the same seed and number draw the same schedule, others another', () => {
  expect(drawSchedule(1, 7)).toEqual(many[7])
  expect(drawSchedule(2, 7)).not.toEqual(many[7])
  expect(new Set(many.map(({ steps }) => JSON.stringify(steps))).size).toBe(many.length)
})

test('two to four contenders, and nobody else, do everything there is to do', () => {
  expect(new Set(many.map(({ contenders }) => contenders))).toEqual(new Set([2, 3, 4]))
  for (const { contenders, steps } of many) {
    for (const step of steps) if ('who' in step) expect(step.who).toBeLessThan(contenders)
  }
  const acts = new Set(many.flatMap(({ steps }) => steps.map(({ act }) => act)))
  const leases = ['acquire', 'renew', 'release', 'transfer', 'force', 'expire']
  const work = ['begin', 'guard', 'write', 'commit', 'rollback', 'savepoint', 'rollback to']
  expect(acts).toEqual(new Set([...leases, ...work, 'kill', 'hold', 'let go']))
})

test('transactions are of all three isolation levels', () => {
  const levels = many.flatMap(({ steps }) =>
    steps.flatMap((step) => (step.act === 'begin' ? [step.isolation] : [])),
  )
  expect(new Set(levels)).toEqual(new Set(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']))
})
