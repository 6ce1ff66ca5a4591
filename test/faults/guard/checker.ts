/**
 * Says what went wrong in a history of commits. Knows nothing of how the history came about, and no clock of its own:
 * the order is the server's order of commits, the times are those in the rows.
 */
export interface LeaseChange {
  readonly kind: 'lease'
  readonly lease: string
  readonly holder: string | null
  readonly token: number
  /** Microseconds since 1970, as all times here. */
  readonly acquiredAt: number
  readonly renewedAt: number
  readonly expiresAt: number | null
}

export interface GuardedWrite {
  readonly kind: 'write'
  readonly lease: string
  readonly token: number
}

/** What one transaction has committed. A history is a list of them, in the order of their commits. */
export type Commit = readonly (LeaseChange | GuardedWrite)[]

export interface Verdict {
  grants: number
  /** Transactions that wrote as a leader. */
  commits: number
  /** Those of them that committed after a grant with a larger token had. */
  stale: number
  /** Everything else that must never be, in words. */
  readonly violations: string[]
}

/** The holder of a grant that may begin before the last one has expired: a transfer, or a seizure by hand. */
export const early = { heir: ':heir', seizer: ':seizer' } as const

export function check(history: Iterable<Commit>): Map<string, Verdict> {
  const verdicts = new Map<string, Verdict>()
  const rows = new Map<string, LeaseChange>()
  const largest = new Map<string, number>()
  const verdictOn = (lease: string): Verdict => {
    const verdict = verdicts.get(lease) ?? { grants: 0, commits: 0, stale: 0, violations: [] }
    verdicts.set(lease, verdict)
    return verdict
  }

  for (const commit of history) {
    // First the writes: a transaction is not stale by a grant that commits with it.
    const written = new Map<string, number>()
    for (const change of commit) {
      if (change.kind !== 'write') continue
      written.set(change.lease, Math.min(change.token, written.get(change.lease) ?? change.token))
    }
    for (const [lease, token] of written) {
      const verdict = verdictOn(lease)
      verdict.commits += 1
      const granted = largest.get(lease)
      if (granted === undefined) verdict.violations.push(`token ${token} was written before any grant`)
      else if (granted > token) verdict.stale += 1
      else if (granted < token) verdict.violations.push(`token ${token} was written, but never granted`)
    }
    for (const change of commit) {
      if (change.kind !== 'lease') continue
      const verdict = verdictOn(change.lease)
      const before = rows.get(change.lease)
      if (change.token !== before?.token) verdict.grants += 1
      verdict.violations.push(...complaints(before, change))
      rows.set(change.lease, change)
      largest.set(change.lease, Math.max(change.token, largest.get(change.lease) ?? 0))
    }
  }
  return verdicts
}

function complaints(before: LeaseChange | undefined, after: LeaseChange): string[] {
  if (before === undefined) return []
  const { token } = after
  if (token < before.token) return [`token ${token} was granted after ${before.token}`]
  const expiredAt = before.holder === null ? before.renewedAt : (before.expiresAt ?? Number.POSITIVE_INFINITY)
  if (token > before.token) {
    const isEarly = Object.values(early).some((mark) => after.holder?.endsWith(mark))
    if (isEarly || after.acquiredAt >= expiredAt) return []
    return [`token ${token} was granted ${expiredAt - after.acquiredAt} µs before ${before.token} ended`]
  }
  if (after.holder === null) return []
  if (after.holder !== before.holder) return [`${after.holder} got token ${token} of ${before.holder}`]
  if (after.renewedAt >= expiredAt) return [`token ${token} was renewed after it had expired`]
  return []
}
