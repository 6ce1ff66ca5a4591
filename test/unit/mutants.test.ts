import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { mutants } from '../mutants/list.ts'
import { type ListedMutant, mutated } from '../mutants/mutant.ts'
import { judge, parse, type RunEnd } from '../mutants/trial.ts'

const mutant: ListedMutant = {
  id: 'area/name',
  name: 'name',
  file: 'sql/a.sql',
  from: 'b',
  to: '$&c',
  costs: 'something',
  tests: ['test/sql/a.test.ts'],
}

describe('the list of mutants', () => {
  test('has enough of them, under names that differ', () => {
    expect(mutants.length).toBeGreaterThan(40)
    expect(new Set(mutants.map(({ id }) => id)).size).toBe(mutants.length)
  })

  test('fits the project: each occurs once, and has tests', async () => {
    const faults: string[] = []
    for (const listed of mutants) {
      try {
        mutated(await readFile(new URL(`../../${listed.file}`, import.meta.url), 'utf8'), listed)
      } catch (error) {
        faults.push(String(error))
      }
      const missing = listed.tests.filter((file) => !existsSync(new URL(`../../${file}`, import.meta.url)))
      if (listed.tests.length === 0 || missing.length > 0) faults.push(`${listed.id}: no ${missing}`)
    }
    // Whoever changes such a line changes its mutant with it, in test/mutants/list/.
    expect(faults).toEqual([])
  })
})

describe('a mutant', () => {
  test('replaces its text as it stands', () => {
    expect(mutated('abd', mutant)).toBe('a$&cd')
  })

  test.each(['acd', 'abb'])('whose text is not found once, as in %s, is an error', (text) => {
    expect(() => mutated(text, mutant)).toThrow('expected its text once in sql/a.sql')
  })

  test('that changes nothing is an error', () => {
    expect(() => mutated('abd', { ...mutant, to: 'b' })).toThrow('changes nothing')
  })
})

describe('a run of tests', () => {
  const report = (
    status: string,
    tests: readonly (readonly [status: string, message?: string])[],
    message = '',
  ) =>
    JSON.stringify({
      testResults: [
        {
          name: '/copy/test/sql/a.test.ts',
          status,
          message,
          assertionResults: tests.map(([ending, failure], place) => ({
            fullName: ` test ${place}`,
            status: ending,
            failureMessages: failure === undefined ? [] : [failure],
          })),
        },
      ],
    })
  const run = (text: string): RunEnd => ({ files: parse(text, '/copy'), timedOut: false, output: '' })

  test.each([
    [
      'in which a test failed',
      [['passed'], ['failed', 'AssertionError: expected 1 to be 2\n at …']],
      'caught',
    ],
    ['in which all passed', [['passed'], ['skipped']], 'SURVIVED'],
    ['in which nothing ran', [['skipped']], 'BROKE'],
    ['whose tests meet bad syntax', [['failed', 'error: syntax error at or near "FROM"']], 'BROKE'],
    ['whose tests meet what is not there', [['failed', 'TypeError: ask is not a function']], 'BROKE'],
    ['whose tests meet no such column', [['failed', 'error: column "epoch" does not exist']], 'BROKE'],
    [
      'in which only some met that',
      [
        ['failed', 'error: column "epoch" does not exist'],
        ['failed', 'AssertionError: no'],
      ],
      'caught',
    ],
  ] as const)('%s', (_what, tests, outcome) => {
    const failed = tests.some(([status]) => status === 'failed')
    expect(judge(run(report(failed ? 'failed' : 'passed', tests))).outcome).toBe(outcome)
  })

  test('names the test that caught it', () => {
    const words = judge(run(report('failed', [['passed'], ['failed', 'Error: no']]))).words
    expect(words).toBe('test 1')
  })

  test('whose hooks failed, or that could not be imported, has broken', () => {
    const end = run(report('failed', [['skipped']], 'the schema does not install'))
    expect(judge(end)).toEqual({ outcome: 'BROKE', words: 'the schema does not install' })
  })

  test('that left no report has broken; one that did not end hangs', () => {
    const output = 'first\nlast words\n'
    expect(judge({ files: null, timedOut: false, output })).toEqual({ outcome: 'BROKE', words: 'last words' })
    expect(judge({ files: null, timedOut: true, output }).outcome).toBe('HUNG')
  })
})
