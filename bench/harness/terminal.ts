/** A scenario's outcome in the terminal. */
import { styleText } from 'node:util'
import Table from 'cli-table3'
import { formatAbsent, formatNumber, formatPercent, formatRatio, formatSeconds } from './format.ts'
import type { Verdict } from './verdict.ts'

export function printVerdict(verdict: Verdict): void {
  const { alsoTold: also } = verdict
  const title = styleText('bold', verdict.title)
  if (verdict.lines.length === 0) {
    for (const line of formatAbsent(verdict.absent)) console.log(`\n${title}: ${line}`)
    return
  }
  const table = new Table({
    head: ['', 'ratio', verdict.figure, 'spread', ...also],
    colAligns: ['left', 'right', 'right', 'right', ...also.map(() => 'right' as const)],
    style: { head: [], border: [] },
  })
  for (const line of verdict.lines) {
    table.push([
      line.contestant,
      formatRatio(line.ratio),
      formatNumber(line.median),
      formatPercent(line.spread),
      ...also.map((what) => formatNumber(line.also[what] ?? Number.NaN)),
    ])
  }
  const took = `${formatSeconds(verdict.tookMs)}, ${formatSeconds(verdict.measuredMs)} of that measured`
  console.log(`\n${title} (${verdict.figure}, ${verdict.better} is better; it took ${took})`)
  console.log(table.toString())
  for (const { text, measured, isMet } of verdict.goals) {
    console.log(`  ${mark(isMet)} ${text}: ${measured}`)
  }
  for (const line of formatAbsent(verdict.absent)) console.log(`  ${line}`)
}

function mark(isMet: boolean | null): string {
  if (isMet === null) return '?     '
  return isMet ? styleText('green', 'holds ') : styleText('red', 'misses')
}
