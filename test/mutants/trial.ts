/** Runs test files in a copy of the project, and judges what came of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')

/** A mutant often shows by a test that waits for what does not come: less patience than the tests have by themselves. */
const TEST_TIMEOUT_MS = 25_000
const GOODBYE_MS = 8_000

/** How one test ended. */
export interface TestEnd {
  readonly name: string
  readonly status: 'passed' | 'failed' | 'skipped'
  readonly messages: readonly string[]
}

/** How one test file ended. */
export interface FileEnd {
  readonly file: string
  readonly tests: readonly TestEnd[]
  /** Why it could not be run, or its hooks failed; empty if it could. */
  readonly fault: string
}

/** What a run of tests left behind. */
export interface RunEnd {
  /** Null: it broke before it could report, or was ended. */
  readonly files: readonly FileEnd[] | null
  readonly timedOut: boolean
  /** The end of what it printed. */
  readonly output: string
}

/** What is to be run. */
export interface RunRequest {
  readonly folder: string
  readonly tests: readonly string[]
  readonly databaseUrl: string
  readonly limitMs: number
  /** Stops at the first failure. */
  readonly bail: boolean
  /** Ends the run. */
  readonly signal: AbortSignal
}

/** Runs the files one after the other in processes of their own, all of which are gone when this returns. */
export async function runTests(request: RunRequest): Promise<RunEnd> {
  const { folder, tests, databaseUrl, limitMs, bail, signal } = request
  const report = join(folder, 'report.json')
  await rm(report, { force: true })
  // The folder below test/ says which project a file belongs to.
  const projects = [...new Set(tests.map((file) => file.split('/')[1] ?? ''))]
  const { PG_ELECT_TEST_BINARIES: _, ...environment } = process.env
  const child = spawn(
    process.execPath,
    [
      vitest,
      'run',
      ...projects.flatMap((project) => ['--project', project]),
      '--reporter=json',
      `--outputFile.json=${report}`,
      '--maxWorkers=1',
      `--testTimeout=${TEST_TIMEOUT_MS}`,
      ...(bail ? ['--bail=1'] : []),
      ...tests,
    ],
    {
      cwd: folder,
      env: { ...environment, DATABASE_URL: databaseUrl, NO_COLOR: '1' },
      // A process group of its own, so that all of it can be ended.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => chunks.push(text))
  }
  const ended = once(child, 'close')
  let timedOut = false
  const stop = () => {
    endGroup(child.pid, 'SIGTERM')
    setTimeout(() => endGroup(child.pid, 'SIGKILL'), GOODBYE_MS).unref()
  }
  const timer = setTimeout(() => {
    timedOut = true
    stop()
  }, limitMs)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    await ended
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    // A test that failed may have left processes of its own.
    endGroup(child.pid, 'SIGKILL')
  }
  const output = chunks.join('').slice(-3_000)
  const text = timedOut ? undefined : await readFile(report, 'utf8').catch(() => undefined)
  return { files: text === undefined ? null : parse(text, folder), timedOut, output }
}

/** What came of a mutant. */
export interface Verdict {
  readonly outcome: 'caught' | 'SURVIVED' | 'BROKE' | 'HUNG' | 'not tried' | 'skipped'
  /** Which test caught it; else what happened. */
  readonly words: string
}

/**
 * Only a test that ran and failed has caught a mutant: what cannot be installed, imported or called at all says nothing about the
 * tests, as any of them would have noticed.
 */
export function judge({ files, timedOut, output }: RunEnd): Verdict {
  if (timedOut) return { outcome: 'HUNG', words: 'the tests did not end' }
  if (files === null) return { outcome: 'BROKE', words: lastLine(output) }
  const tests = files.flatMap((file) => file.tests)
  const failed = tests.filter(({ status }) => status === 'failed')
  const telling = failed.find(({ messages }) => !messages.every(saysBroken))
  if (telling !== undefined) return { outcome: 'caught', words: telling.name }
  if (failed.length > 0) return { outcome: 'BROKE', words: firstLine(failed[0]?.messages[0] ?? '') }
  const fault = files.map((file) => file.fault).find((words) => words !== '')
  if (fault !== undefined) return { outcome: 'BROKE', words: firstLine(fault) }
  if (!tests.some(({ status }) => status === 'passed')) return { outcome: 'BROKE', words: 'no test was run' }
  return { outcome: 'SURVIVED', words: `${tests.length} tests noticed nothing` }
}

/** Something that does not compile or is not there, rather than something that is wrong. */
function saysBroken(message: string): boolean {
  return /^(error: )?(SyntaxError|ReferenceError|syntax error at|.* is not a function|(column|relation|function|operator|type|record) .* (does not exist|has no field|is not assigned))/m.test(
    firstLine(message),
  )
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages: readonly string[] | null
    }[]
  }[]
}

/** Reads the report of vitest's own JSON reporter. */
export function parse(text: string, folder: string): FileEnd[] {
  const { testResults } = JSON.parse(text) as Report
  return testResults.map(({ name, status, message, assertionResults }) => {
    const tests = assertionResults.map(
      (test): TestEnd => ({
        name: test.fullName.trim(),
        status: test.status === 'passed' || test.status === 'failed' ? test.status : 'skipped',
        messages: test.failureMessages ?? [],
      }),
    )
    const isFaulty = status === 'failed' && !tests.some((test) => test.status === 'failed')
    return { file: relative(folder, name), tests, fault: isFaulty ? message || 'it could not be run' : '' }
  })
}

function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // All of it is gone.
  }
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]?.slice(0, 200) ?? ''
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 200) ?? ''
}
