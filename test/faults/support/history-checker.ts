/**
 * Says what cannot have been right in a history. It asks for no more than what is promised whatever the server does: what two calls did
 * that overlap can have happened in either order, and a call without an answer may have happened or not.
 */
import {
  type Ending,
  type Grant,
  type HistoryEvent,
  type Moment,
  type Renewal,
  type Row,
  startOf,
  type Trusting,
  type Unsettled,
  type Write,
} from './history.ts'

/** What was looked at, so that a test can tell a good history from an empty one; and what is wrong, in words. */
export interface Verdict {
  grants: number
  renewals: number
  /** Guarded writes that were committed. */
  writes: number
  refused: number
  unknown: number
  /** Looks at the row of a lease. */
  rows: number
  readonly violations: string[]
}

interface LeaseHistory {
  readonly grants: Grant[]
  readonly renewals: Renewal[]
  readonly trusting: Trusting[]
  readonly endings: Ending[]
  readonly writes: Write[]
  readonly unsettled: Unsettled[]
  readonly rows: Row[]
}

/** A holder's time with one token, as it saw it. */
interface Term {
  readonly holder: string
  readonly token: number
  readonly from: Moment
  until: Moment
  /** When it was to be given back. */
  releasedAt: Moment
}

export function checkHistory(events: Iterable<HistoryEvent>): Verdict {
  const verdict: Verdict = {
    grants: 0,
    renewals: 0,
    writes: 0,
    refused: 0,
    unknown: 0,
    rows: 0,
    violations: [],
  }
  for (const [lease, history] of byLease(events)) {
    verdict.grants += new Set(history.grants.map(({ token }) => token)).size
    verdict.renewals += history.renewals.length
    verdict.rows += history.rows.length
    for (const { kind } of history.unsettled) verdict[kind] += 1
    for (const { outcome } of history.writes) verdict[outcome === 'committed' ? 'writes' : outcome] += 1
    const complaints = [
      ...complainOfTokens(history),
      ...complainOfTrust(history),
      ...complainOfWrites(history),
      ...complainOfRows(history),
    ]
    verdict.violations.push(...complaints.map((complaint) => `${lease}: ${complaint}`))
  }
  return verdict
}

function byLease(events: Iterable<HistoryEvent>): Map<string, LeaseHistory> {
  const leases = new Map<string, LeaseHistory>()
  for (const event of [...events].sort((one, other) => startOf(one) - startOf(other))) {
    let history = leases.get(event.lease)
    if (history === undefined) {
      history = { grants: [], renewals: [], trusting: [], endings: [], writes: [], unsettled: [], rows: [] }
      leases.set(event.lease, history)
    }
    if (event.kind === 'grant') history.grants.push(event)
    else if (event.kind === 'renewal') history.renewals.push(event)
    else if (event.kind === 'trusting') history.trusting.push(event)
    else if (event.kind === 'ending') history.endings.push(event)
    else if (event.kind === 'write') history.writes.push(event)
    else if (event.kind === 'row') history.rows.push(event)
    else history.unsettled.push(event)
  }
  return leases
}

/** Tokens grow from grant to grant, belong to one holder, and are never heard of again once a larger one was granted. */
function* complainOfTokens({ grants, renewals }: LeaseHistory): Generator<string> {
  const holders = new Map<number, string>()
  for (const { token, holder } of grants) {
    const known = holders.get(token)
    if (known !== undefined && known !== holder)
      yield `token ${token} was granted to ${known} and to ${holder}`
    holders.set(token, known ?? holder)
  }
  const largest = largestBefore(grants)
  for (const { token, holder, sentAt } of grants) {
    const before = largest(sentAt)
    if (before > token) yield `token ${token} was granted to ${holder} after ${before} had been`
  }
  for (const { token, holder, sentAt } of renewals) {
    const before = largest(sentAt)
    if (before > token) yield `token ${token} of ${holder} was renewed after ${before} had been granted`
  }
}

/** No two holders trust at once, and what has ended is over. */
function* complainOfTrust(history: LeaseHistory): Generator<string> {
  const ended = new Map<string, Moment>()
  for (const { holder, token, at } of history.endings) {
    const key = keyOf({ holder, token })
    ended.set(key, Math.min(at, ended.get(key) ?? at))
  }
  for (const word of history.trusting) {
    if (word.at > (ended.get(keyOf(word)) ?? word.at))
      yield `${word.holder} trusted ${word.token} after it had ended`
  }
  const terms = termsOf(history).sort((one, other) => one.from - other.from)
  let longest: Term | undefined
  for (const term of terms) {
    if (longest !== undefined && term.from < longest.until) {
      const overlapMs = (Math.min(longest.until, term.until) - term.from).toFixed(1)
      yield `${term.holder} with ${term.token} and ${longest.holder} with ${longest.token} both trusted for ${overlapMs} ms`
    }
    if (longest === undefined || term.until > longest.until) longest = term
  }
}

function termsOf({ grants, renewals, trusting, endings }: LeaseHistory): Term[] {
  const terms = new Map<string, Term>()
  const extend = ({ holder, token }: Grant | Renewal | Trusting, from: Moment, until: Moment) => {
    const key = keyOf({ holder, token })
    const term = terms.get(key) ?? { holder, token, from, until, releasedAt: Number.POSITIVE_INFINITY }
    terms.set(key, { ...term, from: Math.min(term.from, from), until: Math.max(term.until, until) })
  }
  for (const grant of grants) extend(grant, grant.answeredAt, grant.trustedUntil)
  for (const renewal of renewals) extend(renewal, renewal.answeredAt, renewal.trustedUntil)
  for (const word of trusting) extend(word, word.at, word.until)
  for (const { holder, token, at, isRelease } of endings) {
    const term = terms.get(keyOf({ holder, token }))
    if (term === undefined) continue
    term.until = Math.min(term.until, at)
    if (isRelease) term.releasedAt = Math.min(term.releasedAt, at)
  }
  // An answer that came too late has given no trust.
  return [...terms.values()].filter(({ from, until }) => from < until)
}

/** A name with a number at its end is no other name with another number. */
function keyOf({ holder, token }: { readonly holder: string; readonly token: number }): string {
  return JSON.stringify([holder, token])
}

/** Guarded commits follow the order of tokens. */
function* complainOfWrites({ grants, trusting, writes }: LeaseHistory): Generator<string> {
  const committed = writes.filter(({ outcome }) => outcome === 'committed')
  const granted = new Set([...grants, ...trusting].map(keyOf))
  const largestGrant = largestBefore(grants)
  const largestWrite = largestBefore(committed)
  for (const { token, holder, sentAt } of committed) {
    if (!granted.has(keyOf({ holder, token }))) {
      yield `${holder} wrote with token ${token}, which it was never granted`
    }
    const [grant, write] = [largestGrant(sentAt), largestWrite(sentAt)]
    if (grant > token) yield `${holder} wrote with token ${token} after ${grant} had been granted`
    else if (write > token) yield `${holder} wrote with token ${token} after ${write} had written`
  }
}

/** What was acknowledged is there. */
function* complainOfRows(history: LeaseHistory): Generator<string> {
  const largest = largestBefore(history.grants)
  const terms = new Map(termsOf(history).map((term) => [term.token, term]))
  for (const { token, holder, sentAt, answeredAt } of history.rows) {
    const before = largest(sentAt)
    if ((token ?? 0) < before) yield `token ${before} was granted, but the row shows ${token ?? 'nothing'}`
    if (token === null) continue
    const term = terms.get(token)
    if (term !== undefined && holder !== term.holder && term.releasedAt > answeredAt) {
      yield `token ${token} is with ${term.holder}, but the row shows ${holder ?? 'nobody'}`
    }
    const isAsked = history.unsettled.some(
      (call) => call.holder === holder && call.sentAt < answeredAt && call.asked === 'grant',
    )
    if (holder !== null && !history.grants.some((grant) => grant.token === token) && !isAsked) {
      yield `token ${token} is with ${holder}, who never asked for it`
    }
  }
}

/** The largest token of the calls that had been answered before a moment; 0: there were none. */
function largestBefore(calls: readonly { token: number; answeredAt: Moment }[]): (at: Moment) => number {
  const answered = [...calls].sort((one, other) => one.answeredAt - other.answeredAt)
  let largest = 0
  const steps = answered.map(({ token, answeredAt }) => {
    largest = Math.max(largest, token)
    return { answeredAt, largest }
  })
  return (at) => {
    let [low, high] = [0, steps.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((steps[middle]?.answeredAt ?? 0) < at) low = middle + 1
      else high = middle
    }
    return steps[low - 1]?.largest ?? 0
  }
}
