import { hostname } from 'node:os'
import { expect, test } from 'vitest'
import { makeHolder } from '../../src/holder.ts'

test('names differ, also when many are made', () => {
  const names = Array.from({ length: 5000 }, () => makeHolder('x'))
  expect(new Set(names).size).toBe(5000)
  for (const name of names) expect(name).toMatch(/^x:[\w-]{8}$/)
})

test('says host and process unless told otherwise', () => {
  expect(makeHolder()).toMatch(new RegExp(`^${hostname()}:${process.pid}:[\\w-]{8}$`))
})
