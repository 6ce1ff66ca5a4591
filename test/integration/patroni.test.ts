import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readOptions } from '../../examples/patroni/options.ts'
import { findPrograms } from '../../examples/patroni/programs.ts'
import { until } from './support/helpers.ts'
import { NpmRun } from './support/npm-run.ts'

const isInstalled = await findPrograms().then(
  () => true,
  () => false,
)
// The reporter does not show why a test was skipped.
if (!isInstalled) console.log('skipped: no Patroni')
// A fail-over takes half a minute on two idle cores; the time limits are for busy ones.
const withPatroni = test.skipIf(!isInstalled)

/** A run of the example. */
class Example extends NpmRun {
  constructor(args: readonly string[]) {
    super('example:patroni', '', args)
  }

  override get folder(): string {
    const folder = /three Patroni nodes in (\S+)/.exec(this.output)?.[1]
    return folder ?? expect.fail(`no folder in:\n${this.output}`)
  }

  /** A figure of the table at the end. */
  figure(label: string): number {
    const found = new RegExp(`^ +${label} +(\\d+)\\b`, 'm').exec(this.output)?.[1]
    if (found === undefined) expect.fail(`no "${label}" in:\n${this.output}`)
    return Number(found)
  }
}

/** Whatever belongs to a cluster works in its folder: etcd, Patroni, PostgreSQL. */
function processesIn(folder: string): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false
    try {
      const place = readlinkSync(`/proc/${name}/cwd`)
      return place === folder || place.startsWith(`${folder}/`) || place.startsWith(`${folder} `)
    } catch {
      // Gone since.
      return false
    }
  })
}

withPatroni('guarded writes survive kill -9 of the primary', { timeout: 180_000 }, async () => {
  const example = new Example(['--kinds', 'kill', '--rounds', '1', '--seed', '1'])
  const exitCode = await example.end
  // What went on, where it failed.
  expect(exitCode, example.output).toBe(0)

  expect(example.output).toMatch(/^ +timeline 2 +kill +primary after \d/m)
  // Before the fail-over, after it, and once all were there again.
  expect(example.figure('acknowledged')).toBeGreaterThanOrEqual(100)
  expect(example.figure('guarded writes on the surviving timeline')).toBeGreaterThanOrEqual(
    example.figure('acknowledged'),
  )
  expect(example.figure('acknowledged, and lost')).toBe(0)
  expect(example.figure('where the token goes back')).toBe(0)
  expect(example.figure('tokens that two had')).toBe(0)
  expect(example.figure('writes of an older term after a newer one')).toBe(0)
  expect(example.output).toMatch(/All as promised, after \d+\.\d s\.\s*$/)
  expect(example.output).not.toContain('\x1b')
  expect(processesIn(example.folder)).toEqual([])
  expect(existsSync(example.folder)).toBe(false)
})

withPatroni(
  'Ctrl-C while the cluster starts leaves neither a process nor a folder',
  {
    timeout: 60_000,
  },
  async () => {
    const example = new Example([])
    await example.says(/starting etcd/)
    const { folder } = example
    await until('its processes have started', () => processesIn(folder).length > 0)
    example.interrupt()
    await example.end
    expect(example.output).toMatch(/The example was interrupted by SIGINT\s*$/)
    // No waiting here: they must be gone before the example is.
    expect(processesIn(folder)).toEqual([])
    expect(existsSync(folder)).toBe(false)
  },
)

withPatroni(
  'a killed example leaves neither a process nor a folder, even if the primary is stopped',
  {
    timeout: 200_000,
  },
  async () => {
    const example = new Example(['--kinds', 'pause', '--seed', '1'])
    await until('the primary is stopped', () => /kill -STOP/.test(example.output), 150_000)
    const { folder } = example
    expect(processesIn(folder)).not.toEqual([])
    await example.kill()
    await until('all processes have ended', () => processesIn(folder).length === 0, 20_000)
    await until(`${folder} is gone`, () => !existsSync(folder), 20_000)
  },
)

test('what is not installed is named, with the packages that bring it', async () => {
  const main = fileURLToPath(new URL('../../examples/patroni/main.ts', import.meta.url))
  // Nothing is found on an empty PATH.
  const run = promisify(execFile)(process.execPath, ['--import', import.meta.resolve('tsx'), main], {
    env: { PATH: '' },
  })
  const failure = await run.then(
    () => expect.fail('it ran'),
    (error: { code: number; stdout: string }) => error,
  )
  expect(failure.code).toBe(3)
  expect(failure.stdout).toMatch(
    /Not installed: patroni, etcd.* apt-get install patroni python3-etcd etcd-server/,
  )
  expect(failure.stdout).toContain('--install')
})

test('options that make no sense are refused', () => {
  expect(readOptions(['--rounds', 'many'])).toBe(
    'Invalid --rounds: expected a whole number from 1 to 1000, got "many"',
  )
  expect(readOptions(['--kinds', 'kill,fire'])).toBe(
    'Invalid --kinds: expected some of switchover,kill,pause, got "kill,fire"',
  )
  expect(readOptions(['--synchronous', '--asynchronous'])).toMatch(/^Invalid --asynchronous: .* got both$/)
  expect(readOptions(['--seeds', '1'])).toMatch(/--seeds/)
  expect(readOptions(['--asynchronous'])).toMatchObject({ isSynchronous: false, rounds: 3 })
})
