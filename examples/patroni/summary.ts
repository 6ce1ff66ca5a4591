import { duration } from '../support/screen.ts'
import type { Failover } from './failovers.ts'
import type { Acknowledged, History } from './history.ts'
import type { Epoch, Written } from './ledger.ts'

export interface Summary {
  readonly lines: readonly string[]
  /** What must not be; empty: all is well. */
  readonly faults: readonly string[]
}

export interface SummaryParts {
  readonly history: History
  readonly failovers: readonly Failover[]
  readonly written: readonly Written[]
  readonly epochs: readonly Epoch[]
  readonly isSynchronous: boolean
  /** How long a successor must wait after a fail-over; undefined: not at all. */
  readonly graceMs: number | undefined
}

/** What it all came to: a table, and what is wrong with it. */
export function summarise(parts: SummaryParts): Summary {
  const { history, failovers, written, isSynchronous } = parts
  const { acknowledged, terms } = history
  const present = new Set(written.map(({ id }) => id))
  const lost = acknowledged.filter(({ id }) => !present.has(id))
  const steps = stepsBack(written)
  const gaps = lost.filter((write) => hasLaterWrite(write, written))
  const shared = sharedTokens([...terms, ...acknowledged])
  const overtaken = overtakenWrites(acknowledged)
  const stale = failovers.flatMap((failover) => failover.stale ?? [])
  const staleLeft = written.filter(({ id }) => id.startsWith('stale-'))
  const acceptedStale = stale.flatMap(({ accepted }) => accepted)
  const hasty = hastySuccessors(parts)
  const setbacks = [...history.setbacks.values()].reduce((sum, times) => sum + times, 0)

  const row = (label: string, value: number | string, note = '') =>
    `  ${label.padEnd(44)}${String(value).padStart(8)}${note && `   ${note}`}`
  const lines = [
    row('guarded writes on the surviving timeline', written.length),
    row('  acknowledged', acknowledged.length),
    row('  acknowledged, and lost', lost.length, isSynchronous ? '' : lossesBy(lost, failovers)),
    row('  where the token goes back', steps),
    row('terms', terms.length),
    row('  tokens that two had', shared),
    row('writes of an older term after a newer one', overtaken),
    row('writes refused by the guard', history.refused),
    row('writes cut off by a fail-over, outcome unknown', setbacks),
    row(
      'stale writes on a primary that came back',
      stale.reduce(
        (sum, { refused, unanswered, accepted }) => sum + refused + unanswered + accepted.length,
        0,
      ),
      `${acceptedStale.length} accepted on the lost timeline`,
    ),
    row('  left in the end', staleLeft.length),
    '',
    ...failovers.map(lineOf),
    '',
    graceLine(parts),
  ]

  const faults = [
    steps > 0 && `writes at which the token goes back: ${steps}`,
    isSynchronous &&
      lost.length > 0 &&
      `acknowledged writes lost though replication is synchronous: ${lost.length}`,
    gaps.length > 0 && `acknowledged writes missing in the middle of a timeline: ${gaps.length}`,
    shared > 0 && `tokens given to two: ${shared}`,
    overtaken > 0 && `writes of an older term acknowledged after a newer one had begun: ${overtaken}`,
    staleLeft.length > 0 && `stale writes in the final history: ${staleLeft.length}`,
    isSynchronous && acceptedStale.length > 0 && `stale writes acknowledged: ${acceptedStale.length}`,
    hasty > 0 && `successors that did not wait for the grace to end: ${hasty}`,
  ].filter((fault) => fault !== false)
  return { lines, faults }
}

function lineOf({ kind, promotedMs, unledMs, toTimeline, next, isSameTerm }: Failover): string {
  const who = isSameTerm ? `${next.candidate} went on` : `${next.candidate} took over`
  return `  timeline ${String(toTimeline).padEnd(4)}${kind.padEnd(12)}primary after ${duration(promotedMs).padEnd(9)}nobody in charge for ${duration(unledMs).padEnd(9)}${who}`
}

function lossesBy(lost: readonly Acknowledged[], failovers: readonly Failover[]): string {
  return failovers
    .map(({ kind, fromTimeline }) => ({
      kind,
      count: lost.filter(({ timeline }) => timeline === fromTimeline).length,
    }))
    .filter(({ count }) => count > 0)
    .map(({ kind, count }) => `${count} by ${kind}`)
    .join(', ')
}

function graceLine({ graceMs }: SummaryParts): string {
  if (graceMs === undefined)
    return '  Grace off, as replication is synchronous: whoever leads next begins as soon as it can.'
  return `  Grace on, as the last grants may be lost: for ${duration(graceMs)} after a promotion only the old leader may go on.`
}

function stepsBack(written: readonly Written[]): number {
  return written.filter(({ token }, place) => token < (written[place - 1]?.token ?? 0)).length
}

/** What a fail-over loses is the end of a timeline: what is missing before a write that is there was lost by something else. */
function hasLaterWrite(
  { id, candidate, timeline, token }: Acknowledged,
  written: readonly Written[],
): boolean {
  const number = numberOf(id)
  return written.some(
    (other) =>
      other.timeline === timeline &&
      other.token === token &&
      other.id.startsWith(`${candidate}-`) &&
      numberOf(other.id) > number,
  )
}

function numberOf(id: string): number {
  return Number(id.slice(id.lastIndexOf('-') + 1))
}

function sharedTokens(uses: readonly { readonly token: number; readonly candidate: string }[]): number {
  const users = new Map<number, string>()
  const shared = new Set<number>()
  for (const { token, candidate } of uses) {
    if ((users.get(token) ?? candidate) !== candidate) shared.add(token)
    users.set(token, candidate)
  }
  return shared.size
}

/** By the moment at which the answer came, also across a fail-over: two leaders that both write would show here. */
function overtakenWrites(acknowledged: readonly Acknowledged[]): number {
  let newest = 0
  let count = 0
  for (const { token } of [...acknowledged].sort((one, other) => one.atMs - other.atMs)) {
    if (token < newest) count += 1
    newest = Math.max(newest, token)
  }
  return count
}

/** Those who led under a new token on a new timeline before the grace was over. */
function hastySuccessors({ written, epochs, graceMs }: SummaryParts): number {
  if (graceMs === undefined) return 0
  return epochs.filter(({ timeline, firstSeenAtMs }, place) => {
    if (place === 0) return false
    const before = written.findLast((write) => write.timeline < timeline)
    const successor = written.find(
      (write) => write.timeline === timeline && before !== undefined && write.token > before.token,
    )
    return successor !== undefined && successor.atMs < firstSeenAtMs + graceMs
  }).length
}
