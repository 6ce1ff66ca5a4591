import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { cp, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultyText } from '../support/faulty-text.ts'
import { faultSeed, isLongRun } from '../support/scale.ts'
import { clientFaults } from './faults.ts'

/** Most are found in the first, the others within some hundreds. */
const SCHEDULES_MAX = 3_000

/** A longer run than that of CI looks for all of them. */
const RARE_SCHEDULES_MAX = 50_000

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
const remove = () => rmSync(copy, { recursive: true, force: true })
const stop = () => process.exit(1)
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'virtual-faults-'))
  process.once('exit', remove)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop)
  for (const part of parts) await cp(join(project, part), join(copy, part), { recursive: true })
  await symlink(join(project, 'node_modules'), join(copy, 'node_modules'))
})
afterAll(() => {
  remove()
  process.off('exit', remove)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop)
})

describe(`each fault in the client is found, seed ${faultSeed}`, () => {
  test.for(clientFaults)('$name', { timeout: 900_000 }, async (fault, { skip }) => {
    skip(
      fault.isRare && !isLongRun,
      'skipped: one schedule of thousands finds it, VIRTUAL=100000 looks for it',
    )
    const file = join(copy, fault.file)
    const text = await readFile(file, 'utf8')
    await writeFile(file, faultyText(text, fault))
    try {
      const schedules = `0-${fault.isRare ? RARE_SCHEDULES_MAX : SCHEDULES_MAX}`
      const hunt = ['--import', 'tsx', 'test/virtual/replay.ts', 'client', `${faultSeed}`, schedules]
      const { stdout } = await promisify(execFile)(process.execPath, hunt, { cwd: copy })
      expect(stdout).toMatch(/^schedule \d+: /)
    } finally {
      await writeFile(file, text)
    }
  })
})
