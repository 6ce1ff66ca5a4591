/** The results as files: JSON for programs, a Markdown page with pictures for people. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatAbsent, formatNumber, formatPercent, formatRatio } from './format.ts'
import type { Machine } from './machine.ts'
import { plotVerdict } from './plot.ts'
import type { AbsentScenario } from './scenario.ts'
import type { Verdict } from './verdict.ts'

export interface Report {
  readonly machine: Machine
  readonly server: Readonly<Record<string, string>>
  readonly isQuick: boolean
  readonly verdicts: readonly Verdict[]
  /** Of which there are no verdicts. */
  readonly absent: readonly AbsentScenario[]
}

/** Writes `results.json`, `README.md` and one picture for each scenario. */
export function writeReport(folder: string, report: Report): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(report, null, 2)}\n`)
  for (const verdict of report.verdicts) {
    if (verdict.lines.length > 0) writeFileSync(join(folder, `${verdict.name}.svg`), plotVerdict(verdict))
  }
  writeFileSync(join(folder, 'README.md'), page(report))
}

function page({ machine, server, isQuick, verdicts, absent }: Report): string {
  const facts = [
    `Measured on ${machine.date}: ${machine.system}, ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Node ${machine.node};`,
    `one write of 8 KiB with fdatasync after the other: ${formatNumber(machine.syncsPerSecond)} a second.`,
    `PostgreSQL: ${Object.entries(server)
      .map(([name, setting]) => `${name} ${setting}`)
      .join(', ')}.`,
    'Medians of interleaved rounds; spread is the middle half of the rounds.',
    'Servers, clients and the benchmark share the machine. `npm run bench` measures anew.',
  ]
  if (isQuick) facts.push('**A quick run: it shows that everything runs, its figures say little.**')
  const missing = absent.map(({ title, why }) => `- ${title}: ${why}\n`)
  const notRun = missing.length === 0 ? '' : `\n## Not run\n\n${missing.join('')}`
  return `# Benchmark\n\n${facts.join('\n')}\n${verdicts.map(section).join('')}${notRun}`
}

function section(verdict: Verdict): string {
  const { name, title, figure, better, rounds, roundMs, lines, alsoTold: also, goals, absent } = verdict
  const missing = formatAbsent(absent)
    .map((line) => `- ${line}\n`)
    .join('')
  if (lines.length === 0) return `\n## ${title}\n\n${missing}`
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  const table =
    row(['', 'ratio', figure, 'spread', ...also, 'how']) +
    row(['---', '---:', '---:', '---:', ...also.map(() => '---:'), '---']) +
    lines
      .map((line) =>
        row([
          line.contestant,
          formatRatio(line.ratio),
          formatNumber(line.median),
          formatPercent(line.spread),
          ...also.map((what) => formatNumber(line.also[what] ?? Number.NaN)),
          line.how,
        ]),
      )
      .join('')
  const verdicts = goals.map(({ text, measured, isMet }) => `- ${mark(isMet)}: ${text}: ${measured}\n`)
  return `\n## ${title}\n\n![${title}](${name}.svg)\n\n${figure}, ${better} is better; ratio: how much better than the first; ${rounds} ${rounds === 1 ? 'round' : 'rounds'} of ${roundMs} ms.\n\n${table}\n${verdicts.join('')}${missing}`
}

function mark(isMet: boolean | null): string {
  if (isMet === null) return '?'
  return isMet ? 'holds' : '**misses**'
}
