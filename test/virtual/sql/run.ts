/** Runs schedules against the SQL, and says what went wrong. */
import { Invariants } from './invariants.ts'
import { drawSchedule, type Step } from './schedule.ts'
import type { Seen, VirtualDatabase } from './virtual-database.ts'

/** One schedule and what came of it. */
export interface Run {
  /** Each step and its answer, for readers; the same for the same seed and number. */
  readonly trace: readonly string[]
  /** Empty: all was well. What is wrong comes with the step. */
  readonly violations: readonly string[]
  readonly steps: readonly Step[]
}

export async function runSchedule(database: VirtualDatabase, seed: number, number: number): Promise<Run> {
  const steps = drawSchedule(seed, number)
  const seen = await database.run(steps)
  const trace: string[] = []
  const violations: string[] = []
  const invariants = new Invariants()
  for (const [index, step] of steps.entries()) {
    const came = seen[index] as Seen
    trace.push(`${index}. ${step.title}\n   ${canonical(came.answer)}`)
    const wrong = [...invariants.check(step, came), ...differences(step, came)]
    violations.push(...wrong.map((what) => `step ${index}: ${what}`))
  }
  return { trace, violations, steps }
}

/** Against the rules in memory. */
function differences({ expected, kind, who, title }: Step, seen: Seen): string[] {
  const wrong: string[] = []
  const [mine, theirs] = [expected.answer, seen.answer].map((answer) =>
    canonical(comparable(answer, kind, who)),
  )
  if (mine !== theirs) wrong.push(`${title}\n  expected ${mine}\n  answered ${theirs}`)
  for (const table of ['leases', 'places', 'shared'] as const) {
    const [before, after] = [expected.state[table], seen.state[table]].map(canonical)
    if (before !== after) wrong.push(`${title}\n  expected ${table} ${before}\n  stored ${table} ${after}`)
  }
  return wrong
}

/** Whoever is refused a share is shown one of those that run out first, whichever. */
function comparable(answer: Seen['answer'], kind: Step['kind'], _who: string): unknown {
  if (typeof answer === 'string' || !['share', 'leave', 'refresh'].includes(kind)) return answer
  return answer.map((row) => {
    if (row.granted === true) return row
    const { granted, expires_in, rank } = row
    return { granted, expires_in, rank }
  })
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
}
