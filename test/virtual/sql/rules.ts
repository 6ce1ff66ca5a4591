/**
 * The rules of `sql/` once more, in memory and for one call at a time: what a lease, a line and a register do as time passes.
 * Written from DESIGN's words rather than from the SQL, so that what both get wrong in the same way is rare; the checks in
 * `invariants.ts` know of neither. Shares are in `share-rules.ts`.
 */
import { EpochRules } from './epoch-rules.ts'
import { keyOf } from './line-rules.ts'
import { type Answer, type Lease, Refusal, remaining, type Shared } from './tables.ts'
import type { CallTime } from './time.ts'

/** A lease that was handed over lasts so long until its new holder renews it. */
const ACCEPT_MS = 2_000
/** One that nobody holds may be taken so much later by each who waits behind another. */
const TURN_MS = 250
const EPOCH_TOKENS = 3_600_000_000

export class Rules extends EpochRules {
  readonly leases = new Map<string, Lease>()
  readonly shared = new Map<string, Shared>()

  isHeld(lease: Lease | undefined, at: number): lease is Lease & { holder: string } {
    return lease != null && lease.holder !== null && (lease.expiresAt === null || lease.expiresAt > at)
  }

  acquire(
    time: CallTime,
    asked: { name: string; holder: string; ttl: number; wait: boolean; priority: number | null },
  ): Answer {
    const { name, holder, ttl, wait, priority } = asked
    const waits = wait && priority !== null
    const lease = this.leases.get(name)
    if (this.isHeld(lease, time.now) && lease.holder !== holder) {
      this.#cut(time, lease)
      if (!waits) return this.answer(false, lease, time.now)
      time.lock()
      if (this.isHeld(lease, time.now)) {
        return this.answer(
          false,
          lease,
          time.now,
          this.stand(time.now, { ...asked, priority, isExclusive: true }),
        )
      }
    }
    if (priority === null) return this.answer(false, lease, time.now)
    const wasOwn = this.isHeld(lease, time.now)
    if (lease !== undefined) time.lock()
    const at = time.now
    if (this.isHeld(lease, at)) return this.ownAgain(lease, at, ttl)
    if (!wasOwn && this.isInForce(lease) && this.foremost(name) === undefined) {
      return this.answer(true, this.grant(lease, { name, at, holder, ttl, isUsual: true }), at)
    }
    const ahead = this.rank(name, holder, priority, at)
    // Its own that ran out while it waited for the row is not taken anew in the same call.
    const graceUntil = wasOwn ? null : this.graceOf(lease, ttl, at)
    if (!wasOwn && graceUntil === null && this.#isTurn(lease, ahead, at, ttl)) {
      return this.answer(true, this.grant(lease, { name, at, holder, ttl }), at)
    }
    const rank =
      waits && lease !== undefined ? this.stand(at, { ...asked, priority, isExclusive: true }) : null
    if (graceUntil !== null)
      return { ...this.answer(false, undefined, at, rank), expires_in: graceUntil - at }
    return this.answer(false, lease, at, rank)
  }

  /** Asked for by the one that the row names. A name does not settle the grace: it may have given the lease back since. */
  protected ownAgain(lease: Lease, at: number, ttl: number): Answer {
    const graceUntil = this.graceOf(lease, ttl, at)
    if (graceUntil === null) return this.answer(true, this.renewed(lease, at, ttl), at)
    return { ...this.answer(false, undefined, at), expires_in: graceUntil - at }
  }

  renew(time: CallTime, name: string, token: number, ttl: number | null): Answer {
    const lease = this.#lockGrant(time, name, token)
    const at = time.now
    if (!this.isHeld(lease, at)) return this.answer(false, this.leases.get(name), at)
    return this.answer(true, this.renewed(lease, at, ttl ?? lease.ttl), at)
  }

  renewMany(time: CallTime, grants: readonly { name: string; token: number }[]): Answer[] {
    const rows = grants.map(({ name, token }) => this.#lockGrant(time, name, token))
    const at = time.now
    return grants.map(({ name }, index) => {
      const lease = rows[index]
      if (!this.isHeld(lease, at))
        return { name, ...this.answer(false, this.leases.get(name), at), rank: undefined }
      return { name, ...this.answer(true, this.renewed(lease, at, lease.ttl), at), rank: undefined }
    })
  }

  release(time: CallTime, name: string, token: number): boolean {
    const lease = this.#lockGrant(time, name, token)
    if (!this.isHeld(lease, time.now)) return false
    if (lease.partOf !== null) this.releaseShare(lease, time.now)
    else if (this.#handOver(lease, time.now, null) === undefined) this.#vacate(lease, time.now)
    return true
  }

  /** Shares have rules of their own. */
  protected releaseShare(_share: Lease, _at: number): void {
    throw new Error('no shares here')
  }

  transfer(time: CallTime, name: string, token: number, successor: string | null, mustWait: boolean): Answer {
    const lease = this.#lockGrant(time, name, token)
    const at = time.now
    if (lease !== undefined && lease.partOf !== null) throw new Refusal('22023')
    if (!this.isHeld(lease, at)) return this.answer(false, this.leases.get(name), at)
    let granted = this.#handOver(lease, at, successor)
    if (granted === undefined && successor !== null && !mustWait && this.graceOf(lease, null, at) === null) {
      granted = this.grant(lease, { name, at, holder: successor, ttl: lease.ttl })
    }
    return this.answer(granted !== undefined, granted ?? lease, at)
  }

  force(time: CallTime, name: string): boolean {
    const lease = this.leases.get(name)
    if (lease !== undefined) time.lock()
    if (!this.isHeld(lease, time.now)) return false
    this.#vacate(lease, time.now)
    return true
  }

  /** The guard. */
  prove(time: CallTime, name: string, token: number): void {
    const lease = this.leases.get(name)
    if (lease !== undefined) time.lock()
    if (lease?.token !== token || !this.isHeld(lease, time.now)) throw new Refusal('LE001')
  }

  swap(
    time: CallTime,
    key: string,
    next: string | null,
    current: string | null,
    ttl: number | null,
  ): boolean {
    const lease = this.leases.get(key)
    const differs = () => this.isHeld(lease, time.now) && lease.holder !== current
    if (differs()) return false
    if (lease !== undefined) time.lock()
    if (differs()) return false
    if (current !== null && !this.isHeld(lease, time.now)) {
      this.#settled(lease, ttl, time.now)
      throw new Refusal('LE002')
    }
    this.#store(lease, { key, next, ttl, at: time.now })
    return true
  }

  swapVersion(
    time: CallTime,
    key: string,
    next: string | null,
    version: number,
    ttl: number | null,
  ): number | null {
    const lease = this.leases.get(key)
    const differs = () => lease?.version !== version && (version !== 0 || this.isHeld(lease, time.now))
    if (differs()) return null
    if (lease !== undefined) time.lock()
    if (differs()) return null
    return this.#store(lease, { key, next, ttl, at: time.now })
  }

  /** Undefined: vacant. */
  look(at: number, name: string): Answer | undefined {
    const lease = this.leases.get(name)
    const isHeld = this.isHeld(lease, at)
    const endless = isHeld && lease.expiresAt === null
    const graceUntil = endless ? null : this.graceOf(lease, null, at, false)
    if (!isHeld && graceUntil === null) return undefined
    const graceMs = graceUntil === null ? null : graceUntil - at
    if (!isHeld) {
      const { token = null, version = null } = lease ?? {}
      return { holder: null, token, version, expires_in: graceMs, in_grace: true }
    }
    const expiresIn = endless ? null : Math.max(remaining(lease, at) as number, graceMs ?? 0)
    return {
      holder: lease.holder,
      token: lease.token,
      version: lease.version,
      expires_in: expiresIn,
      in_grace: graceMs !== null,
    }
  }

  leave(time: CallTime, name: string, holder: string): Answer {
    this.endWait(name, holder)
    const standing = this.grantOf(name, holder, time.now)
    return this.answer(standing?.holder === holder, standing, time.now)
  }

  refresh(at: number, name: string, holder: string): Answer {
    const place = this.places.get(keyOf(name, holder))
    if (place !== undefined && place.expiresAt > at) {
      place.seenAt = at
      place.expiresAt = at + place.ttl
    }
    const lease = this.leases.get(name)
    if (lease !== undefined) this.cutIfFuture(lease, at)
    const standing = this.grantOf(name, holder, at)
    const index = this.line(name, at).findIndex(({ candidate }) => candidate === holder)
    return this.answer(standing?.holder === holder, standing, at, index === -1 ? null : index)
  }

  prune(at: number, olderThan: number): number {
    const epoch = this.epochAt(at)
    for (const [key, place] of this.places) if (!this.isWaiting(place, at)) this.places.delete(key)
    let pruned = 0
    for (const [name, lease] of this.leases) {
      if (this.isHeld(lease, at) || lease.expiresAt === null || lease.expiresAt > at - olderThan) continue
      if (lease.epoch !== epoch.number && this.graceOf(lease, null, at) !== null) continue
      if ([...this.places.values()].some(({ line }) => line === name)) continue
      this.leases.delete(name)
      pruned += 1
    }
    for (const [name, { writtenAt }] of this.shared) {
      if (writtenAt > at - olderThan) continue
      if ([...this.leases.values()].some(({ partOf }) => partOf === name)) continue
      if ([...this.places.values()].some(({ line }) => line === name)) continue
      this.shared.delete(name)
      pruned += 1
    }
    return pruned
  }

  /** How a contender is told that it stands. */
  answer(granted: boolean | null, lease: Lease | undefined, at: number, rank: number | null = null): Answer {
    const isHeld = this.isHeld(lease, at)
    return {
      granted,
      holder: isHeld ? lease.holder : null,
      token: isHeld ? lease.token : null,
      version: isHeld ? lease.version : null,
      expires_in: isHeld ? remaining(lease, at) : null,
      rank,
    }
  }

  protected grantOf(name: string, holder: string, at: number): Lease | undefined {
    const lease = this.leases.get(name)
    if (lease !== undefined) return this.isHeld(lease, at) ? lease : undefined
    const shares = [...this.leases.values()].filter(
      (share) => share.partOf === name && this.isHeld(share, at),
    )
    const byExpiry = shares.toSorted((one, other) => (one.expiresAt ?? 0) - (other.expiresAt ?? 0))
    return byExpiry.find((share) => share.holder === holder) ?? byExpiry[0]
  }

  protected grant(
    lease: Lease | undefined,
    granted: {
      name: string
      at: number
      holder: string
      ttl: number | null
      accept?: boolean
      isUsual?: boolean
    },
    share?: { of: string; lastToken: number },
  ): Lease {
    const { name, at, holder, ttl, accept = false, isUsual = false } = granted
    const { number: epoch } = isUsual ? this.epoch : this.epochAt(at)
    const last = share?.lastToken ?? lease?.token ?? 0
    const token = Math.max(last + 1, Math.round(at * 1000) + (epoch - 1) * EPOCH_TOKENS)
    const row = {
      name: share === undefined ? name : `${name}#${token}`,
      holder,
      token,
      version: lease === undefined ? token : lease.version + 1,
      epoch,
      renewedAt: at,
      expiresAt: ttl === null ? null : at + (accept ? Math.min(ttl, ACCEPT_MS) : ttl),
      ttl,
      partOf: share?.of ?? null,
    }
    this.leases.set(row.name, row)
    this.endWait(name, holder)
    return row
  }

  protected renewed(lease: Lease, at: number, ttl: number | null): Lease {
    if (!this.isInForce(lease)) lease.epoch = this.epochAt(at).number
    lease.version += 1
    if (ttl === null || lease.expiresAt === null) lease.expiresAt = null
    // Of a promise that was made before the clock went back the time that was given is kept, from now on.
    else {
      const kept = lease.renewedAt > at ? at + (lease.expiresAt - lease.renewedAt) : lease.expiresAt
      lease.expiresAt = Math.max(kept, at + ttl)
    }
    lease.renewedAt = at
    lease.ttl = ttl
    return lease
  }

  /** A lease from the future is cut to the time that it was given, from now on. */
  protected cutIfFuture(lease: Lease, at: number): void {
    if (!this.isHeld(lease, at) || lease.renewedAt <= at) return
    if (lease.expiresAt !== null) lease.expiresAt = at + (lease.expiresAt - lease.renewedAt)
    lease.renewedAt = at
    lease.version += 1
  }

  #cut(time: CallTime, lease: Lease): void {
    if (lease.renewedAt <= time.now) return
    time.lock()
    this.cutIfFuture(lease, time.now)
  }

  #lockGrant(time: CallTime, name: string, token: number): Lease | undefined {
    const lease = this.leases.get(name)
    if (lease?.token !== token || lease.holder === null) return undefined
    time.lock()
    return lease
  }

  #handOver(lease: Lease, at: number, successor: string | null): Lease | undefined {
    const { name } = lease
    const named = this.line(name, at).find(({ candidate }) => candidate === successor)
    const foremost = this.foremost(name)
    const next = successor === null ? this.first(name, at) : named
    if (next === undefined) return undefined
    const isUsual = this.isInForce(lease) && (successor !== null || next === foremost)
    if (!isUsual && this.graceOf(lease, next.ttl, at) !== null) return undefined
    return this.grant(lease, { name, at, holder: next.candidate, ttl: next.ttl, accept: true, isUsual })
  }

  #vacate(lease: Lease, at: number): void {
    lease.holder = null
    lease.version += 1
    lease.renewedAt = at
    lease.expiresAt = at
  }

  #settled(lease: Lease | undefined, ttl: number | null, at: number): void {
    if (this.graceOf(lease, ttl, at) !== null) throw new Refusal('55P03')
  }

  #store(
    lease: Lease | undefined,
    { key, next, ttl, at }: { key: string; next: string | null; ttl: number | null; at: number },
  ): number {
    const isHeld = this.isHeld(lease, at)
    if (!isHeld || (next !== lease.holder && lease.expiresAt !== null)) this.#settled(lease, ttl, at)
    if (!isHeld && next === null) return lease?.version ?? 0
    if (isHeld && next === null) {
      this.#vacate(lease, at)
      return lease.version
    }
    if (isHeld && next === lease.holder) return this.renewed(lease, at, ttl).version
    return this.grant(lease, { name: key, at, holder: next as string, ttl }).version
  }

  #isTurn(lease: Lease | undefined, rank: number, at: number, ttl: number): boolean {
    if (rank === 0 || lease === undefined || lease.expiresAt === null) return true
    // Nobody could have it before its grace was over.
    const since = Math.max(lease.expiresAt, this.graceOf(lease, ttl, at, true, true) ?? lease.expiresAt)
    return at < since || at > since + rank * TURN_MS
  }
}
