import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { clientFaults } from '../virtual/client/faults.ts'
import { sqlFaults } from '../virtual/sql/faults.ts'
import { faultyText } from '../virtual/support/faulty-text.ts'

const faults = [...sqlFaults, ...clientFaults]

test('the faults that schedules of virtual time find have names that differ', () => {
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length)
})

test('each of them fits the project: what it replaces occurs once', async () => {
  const misfits: string[] = []
  for (const fault of faults) {
    try {
      const text = await readFile(new URL(`../../${fault.file}`, import.meta.url), 'utf8')
      if (faultyText(text, fault) === text) misfits.push(`${fault.name}: changes nothing`)
    } catch (error) {
      misfits.push(String(error))
    }
  }
  // Whoever changes such a line changes its fault with it, in test/virtual/sql/faults.ts or test/virtual/client/faults.ts.
  expect(misfits).toEqual([])
})
