import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../support/postgres/database.ts'
import { until } from './support/helpers.ts'
import { NpmRun } from './support/npm-run.ts'

const BOUNDED = ['--invoices', '60', '--seconds', '8']

/** A run of the example. */
class Example extends NpmRun {
  constructor(databaseUrl: string, args: readonly string[]) {
    super('example:payments', databaseUrl, args)
  }

  /** A figure of the table at the end. */
  figure(label: string): number {
    const found = new RegExp(`^ +${label} +(\\d+)\\b`, 'm').exec(this.output)?.[1]
    if (found === undefined) expect.fail(`no "${label}" in:\n${this.output}`)
    return Number(found)
  }

  /** Where the provider is: each worker of this run, and no other process, has it in its environment. */
  get provider(): string {
    return /provider is at (\S+)/.exec(this.output)?.[1] ?? expect.fail(`no provider in:\n${this.output}`)
  }
}

/** How many processes have that text in their environment. */
async function processesWith(text: string): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['axeww', '-o', 'command='], { maxBuffer: 2 ** 26 })
  return stdout.split('\n').filter((line) => line.includes(text)).length
}

test('each invoice is charged exactly once, whatever happens to the leaders', {
  timeout: 90_000,
}, async () => {
  await using database = await createTestDatabase({ empty: true })
  const example = new Example(database.connectionString, BOUNDED)
  const exitCode = await example.end
  // What went on, with the seed, where it failed.
  expect(exitCode, example.output).toBe(0)

  expect(example.figure('invoices')).toBe(60)
  expect(example.figure('charged exactly once')).toBe(60)
  expect(example.figure('charged twice')).toBe(0)
  expect(example.figure('never charged')).toBe(0)
  expect(example.figure('marked paid exactly once')).toBe(60)
  expect(example.figure('stale writes that came through')).toBe(0)
  // There was trouble indeed, and it was of consequence.
  const troubles = ['killed', 'stopped', 'cut off'].map((what) => example.figure(`leaders ${what}`))
  const total = troubles.reduce((sum, count) => sum + count)
  expect(total).toBeGreaterThanOrEqual(2)
  expect(example.figure('terms \\(tokens\\)')).toBeGreaterThanOrEqual(total)
  expect(example.figure('answers lost on the way')).toBeGreaterThan(0)
  expect(example.figure('repeated with the same key')).toBeGreaterThan(0)
  expect(example.figure('requests to the provider')).toBe(60 + example.figure('repeated with the same key'))
  const tampering = /writes without a guard refused +(\d+) +of (\d+)$/m.exec(example.output)
  expect(tampering?.[1]).toBe(tampering?.[2])
  expect(example.output).toMatch(/Each invoice was charged exactly once, after \d+\.\d s\.\s*$/)
  expect(example.output).not.toContain('\x1b')

  expect(await processesWith(example.provider)).toBe(0)
  const session = await database.connect()
  const { rows } = await session.query(
    `SELECT count(*) FILTER (WHERE nspname LIKE 'payments%')::int AS schemas,
            (SELECT count(*)::int FROM elect.operations WHERE state = 'done') AS done
     FROM pg_namespace`,
  )
  expect(rows).toEqual([{ schemas: 0, done: 60 }])
})

test('without the ledger and the guard invoices are charged twice', { timeout: 90_000 }, async () => {
  await using database = await createTestDatabase()
  // With this seed answers are lost at the first request already, and who asks again with a fresh key charges again.
  const example = new Example(database.connectionString, [...BOUNDED, '--unguarded', '--seed', '1'])
  expect(await example.end, example.output).toBe(1)
  expect(example.figure('charged twice')).toBeGreaterThan(0)
  expect(example.output).toMatch(/NOT SO: \d+ invoices were charged twice/)
  expect(example.output).toMatch(/--seed 1\s*$/)
})

test('Ctrl-C while a leader sleeps leaves neither a process nor a folder', { timeout: 60_000 }, async () => {
  const example = new Example('', ['--seconds', '30', '--seed', '2'])
  await example.says(/kill -STOP/)
  expect(await processesWith(example.provider)).toBeGreaterThan(0)
  example.interrupt()
  await example.end
  expect(example.output).toMatch(/The example was interrupted by SIGINT\s*$/)
  // No waiting here: they must be gone before the example is.
  expect(await processesWith(example.provider)).toBe(0)
  expect(existsSync(example.folder)).toBe(false)
})

test('a killed example leaves neither a process nor a folder, asleep or not', {
  timeout: 60_000,
}, async () => {
  const example = new Example('', ['--seconds', '30', '--seed', '2'])
  await example.says(/kill -STOP/)
  await delay(100)
  const { provider, folder } = example
  expect(await processesWith(provider)).toBeGreaterThan(0)
  await example.kill()
  await until('all workers have ended', async () => (await processesWith(provider)) === 0)
  await until(`${folder} is gone`, () => !existsSync(folder))
})

test('an option that makes no sense is refused with the help', async () => {
  const example = new Example('', ['--invoices', 'many'])
  expect(await example.end).toBe(2)
  expect(example.output).toMatch(
    /Invalid --invoices: expected .*, got "many"\n\nUsage: npm run example:payments/,
  )
})
