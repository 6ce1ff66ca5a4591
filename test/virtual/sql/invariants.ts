/**
 * What must hold whatever the rules are: seen from the answers and the tables alone.
 *
 * - One holder until expiry, as its client sees it: from the moment it sent its request, for as long as it was granted. Only where the
 *   server's clock was set forward, or the lease was given away or taken, may another have it before.
 * - Tokens grow with every grant, and versions with every write.
 * - What has expired, or is held under another token, is not renewed, given back or proved.
 * - No more shares than there is room for; an exclusive one is alone.
 * - When all fall silent, everything that expires goes to whoever asks, within two TTLs.
 */
import type { Step } from './schedule.ts'
import type { Seen, StoredLease } from './virtual-database.ts'

/** What a client may believe. */
interface Belief {
  readonly holder: string
  readonly token: number
  /** In time that has really passed. */
  readonly untilMs: number
  readonly jumps: number
}

export class Invariants {
  readonly #beliefs = new Map<string, Belief>()
  readonly #tokens = new Map<string, number>()
  readonly #versions = new Map<string, number>()
  readonly #capacities = new Map<string, number | null>()
  #before: readonly StoredLease[] = []

  /** What is wrong after this step. */
  check(step: Step, seen: Seen): string[] {
    const wrong = [
      ...this.#checkTokens(seen),
      ...this.#checkExpired(step, seen),
      ...this.#checkBeliefs(step, seen),
      ...this.#checkRoom(seen),
    ]
    if (step.kind === 'inherit' && step.isLast && !isGranted(seen)) {
      const lease = this.#before.find(([name]) => name === step.name)
      if (lease?.[6] !== null)
        wrong.push(`${step.name} is stuck: nobody renews it, and it is not granted to who asks`)
    }
    this.#before = seen.state.leases
    return wrong
  }

  #checkTokens({ state }: Seen): string[] {
    const wrong: string[] = []
    const tokens = new Map<string, number[]>()
    for (const [name, , token, version, , , , , partOf] of state.leases) {
      const line = partOf ?? name
      tokens.set(line, [...(tokens.get(line) ?? []), token])
      if (version < (this.#versions.get(name) ?? 0)) wrong.push(`the version of ${name} went back`)
      this.#versions.set(name, version)
    }
    for (const [line, all] of tokens) {
      const last = this.#tokens.get(line) ?? 0
      const known = new Set(this.#before.map(([, , token]) => token))
      for (const token of all) {
        if (!known.has(token) && token <= last)
          wrong.push(`token ${token} of ${line} is not larger than ${last}`)
      }
      this.#tokens.set(line, Math.max(last, ...all))
    }
    for (const [name, holder, token] of state.leases) {
      const before = this.#before.find((lease) => lease[0] === name)
      if (before !== undefined && holder !== null && holder !== before[1] && token === before[2]) {
        wrong.push(`${name} went from ${before[1]} to ${holder} under the same token`)
      }
    }
    return wrong
  }

  /** The decision counts from when the call had the row. */
  #checkExpired({ kind, name, at, waitMs, sql }: Step, seen: Seen): string[] {
    if (!['renew', 'release', 'transfer', 'prove'].includes(kind)) return []
    const before = this.#before.find((lease) => lease[0] === name)
    if (!isGranted(seen)) return []
    const token = Number(/, (\d+)/.exec(sql)?.[1])
    if (before === undefined) return [`${kind} of ${name} under token ${token}, which nobody has`]
    const [, holder, held, , , , expiresAt] = before
    if (holder === null || held !== token) return [`${kind} of ${name} under token ${token}, which has ended`]
    if (expiresAt !== null && expiresAt <= at + waitMs) return [`${kind} of ${name} after its end`]
    return []
  }

  #checkBeliefs(step: Step, seen: Seen): string[] {
    const { kind, name, who, elapsedMs, jumps, ttl, waitMs } = step
    const wrong: string[] = []
    if (typeof seen.answer === 'string') return wrong
    const isGivenUp = ['release', 'transfer', 'force', 'swap', 'swap version'].includes(kind)
    for (const [lease, belief] of this.#beliefs) {
      const stored = seen.state.leases.find(([one]) => one === lease)
      const isOwn = stored?.[1] === belief.holder && stored[2] === belief.token
      if (isOwn) continue
      const isOver = belief.untilMs <= elapsedMs + waitMs || belief.jumps !== jumps
      if (!isOver && !(isGivenUp && name === lease)) {
        wrong.push(
          `${belief.holder} still trusts its grant of ${lease}, for ${belief.untilMs - elapsedMs} ms`,
        )
      }
      this.#beliefs.delete(lease)
    }
    for (const row of kind === 'renew many' ? seen.answer : seen.answer.slice(0, 1)) {
      const granted = row.granted === true && kind !== 'transfer' && kind !== 'look'
      const holder = `${row.holder}`
      const lease = seen.state.leases.find(
        (one) => one[2] === row.token && [one[0], one[8]].includes(`${row.name ?? name.split('#')[0]}`),
      )
      if (!granted || lease === undefined || (who !== '' && who !== holder)) continue
      // What it asked for, counted from when it asked; of what it was handed, what the answer says.
      const asked = ['acquire', 'share', 'inherit'].includes(kind) ? ttl : null
      const expiresIn = typeof row.expires_in === 'number' ? row.expires_in : Number.POSITIVE_INFINITY
      if (expiresIn <= 0) wrong.push(`${lease[0]} was granted with no time left`)
      const lasts = Math.min(asked ?? expiresIn, expiresIn)
      const before = this.#beliefs.get(lease[0])
      const isLonger =
        before === undefined ||
        before.token !== lease[2] ||
        before.jumps !== jumps ||
        before.untilMs < elapsedMs + lasts
      if (isLonger)
        this.#beliefs.set(lease[0], { holder, token: lease[2], untilMs: elapsedMs + lasts, jumps })
    }
    return wrong
  }

  #checkRoom({ state }: Seen): string[] {
    const wrong: string[] = []
    for (const [name, capacity, , exclusiveToken] of state.shared) {
      const shares = state.leases.filter(([, , , , , , , , partOf]) => partOf === name)
      const isGranted = shares.some(([, , token]) => !this.#before.some((lease) => lease[2] === token))
      const held = shares.filter(([, holder]) => holder !== null)
      const isFull = capacity !== null && held.length > capacity && this.#capacities.get(name) === capacity
      if (isGranted && isFull) wrong.push(`${name} has room for ${capacity}, and ${held.length} hold it`)
      const hasExclusive = held.some(([, , token]) => token === exclusiveToken)
      if (isGranted && hasExclusive && held.length > 1)
        wrong.push(`an exclusive share of ${name} is not alone`)
      this.#capacities.set(name, capacity)
    }
    return wrong
  }
}

/** Whether it was done. */
function isGranted({ answer }: Seen): boolean {
  const [row] = typeof answer === 'string' ? [] : answer
  return row !== undefined && [row.granted, row.released, row.proved].includes(true)
}
