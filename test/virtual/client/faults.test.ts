import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultyText } from '../support/faulty-text.ts'
import { seed } from '../support/scale.ts'
import { clientFaults } from './faults.ts'

/** The rarest needs some hundreds. */
const SCHEDULES_MAX = 3_000

const project = fileURLToPath(new URL('../../../', import.meta.url))

/** What a schedule of the client runs. */
const parts = [
  'src',
  'test/virtual',
  'test/unit/support',
  'test/faults/guard',
  'package.json',
  'tsconfig.json',
]

let copy: string
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'virtual-faults-'))
  for (const part of parts) await cp(join(project, part), join(copy, part), { recursive: true })
  await symlink(join(project, 'node_modules'), join(copy, 'node_modules'))
})
afterAll(() => rm(copy, { recursive: true, force: true }))

describe(`each fault in the client is found, seed ${seed}`, () => {
  test.each(clientFaults)('$name', { timeout: 300_000 }, async (fault) => {
    const file = join(copy, fault.file)
    const text = await readFile(file, 'utf8')
    await writeFile(file, faultyText(text, fault))
    try {
      const hunt = ['--import', 'tsx', 'test/virtual/replay.ts', 'client', `${seed}`, `0-${SCHEDULES_MAX}`]
      const { stdout } = await promisify(execFile)(process.execPath, hunt, { cwd: copy })
      expect(stdout).toMatch(/^schedule \d+: /)
      console.log(`${fault.name}: found in ${stdout.split('\n')[0]}`)
    } finally {
      await writeFile(file, text)
    }
  })
})
