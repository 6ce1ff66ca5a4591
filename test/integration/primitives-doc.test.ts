import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts'

// The lines of docs/primitives.md run as they stand.

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = await readFile(join(root, 'docs/primitives.md'), 'utf8')

/** The blocks of a language, by the heading above them. */
function blocks(language: string): { heading: string; code: string }[] {
  return text.split(/^## /m).flatMap((section) => {
    const heading = section.split('\n', 1)[0] ?? ''
    return [...section.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(
      ([, code = '']) => ({
        heading,
        code,
      }),
    )
  })
}

const [preamble, ...examples] = blocks('ts')
const hasPsql = spawnSync('psql', ['--version']).status === 0

let database: TestDatabase
let folder: string
beforeAll(async () => {
  database = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'pg-elect-doc-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await database.drop()
})

async function run(command: string, args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, DATABASE_URL: database.connectionString },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const code = await new Promise<number | null>((resolve) => child.on('exit', resolve))
  return { code, output }
}

test('there are lines to run for each primitive, in both languages', () => {
  const headings = [...text.matchAll(/^## (.*)/gm)].map(([, heading]) => heading)
  expect(headings).toHaveLength(9)
  expect(examples.map(({ heading }) => heading)).toEqual(headings)
  expect(blocks('sql').map(({ heading }) => heading)).toEqual(headings)
  for (const { code } of [...examples, ...blocks('sql')])
    expect(code.split('\n').length).toBeLessThanOrEqual(13)
})

describe('in TypeScript', () => {
  test.each(examples)('$heading', async ({ heading, code }) => {
    const source = `${preamble?.code}${code}\nawait elect.close()\n`.replace(
      "'pg-elect'",
      JSON.stringify(pathToFileURL(join(root, 'src/index.ts')).href),
    )
    const file = join(folder, `${heading}.mts`)
    await writeFile(file, source)
    const { code: exit, output } = await run(process.execPath, ['--import', 'tsx', file])
    expect(output).not.toMatch(/error|warn/i)
    expect(exit).toBe(0)
  })
})

describe.skipIf(!hasPsql)(hasPsql ? 'in SQL' : 'in SQL (skipped: no psql)', () => {
  test.each(blocks('sql'))('$heading', async ({ heading, code }) => {
    const file = join(folder, `${heading}.sql`)
    await writeFile(file, code)
    const { code: exit, output } = await run('psql', [
      '-X',
      '-v',
      'ON_ERROR_STOP=1',
      '-f',
      file,
      database.connectionString,
    ])
    expect(output).not.toMatch(/error|warning/i)
    expect(exit).toBe(0)
  })
})
