import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Report, writeReport } from '../../../bench/harness/report.ts'

const machine = {
  date: '2026-01-01',
  system: 'Linux',
  processor: 'one',
  cores: 2,
  memoryGiB: 4,
  node: 'v20',
  syncsPerSecond: 1000,
}

function pageOf(report: Partial<Report>): string {
  const folder = mkdtempSync(join(tmpdir(), 'pg-elect-report-'))
  try {
    writeReport(folder, { machine, server: {}, isQuick: false, verdicts: [], absent: [], ...report })
    return readFileSync(join(folder, 'README.md'), 'utf8')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

it('names the scenarios that were not run, and why', () => {
  expect(pageOf({ absent: [{ title: 'Weather', why: 'no window' }] })).toContain(
    '## Not run\n\n- Weather: no window\n',
  )
  expect(pageOf({})).not.toContain('Not run')
})

it('says of a quick run that it was one', () => {
  expect(pageOf({ isQuick: true })).toContain('A quick run')
  expect(pageOf({})).not.toContain('A quick run')
})
