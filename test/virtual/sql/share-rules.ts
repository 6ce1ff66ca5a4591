/** The rules of what several may hold at once, beside those of `rules.ts`: semaphores and read-write locks. */
import { Rules } from './rules.ts'
import { type Answer, type Lease, Refusal, type Shared } from './tables.ts'
import type { CallTime } from './time.ts'

/** What a contender asks for. */
export interface ShareRequest {
  readonly name: string
  readonly holder: string
  readonly isExclusive: boolean
  readonly capacity: number | null
  readonly ttl: number
  readonly wait: boolean
  readonly priority: number
}

export class ShareRules extends Rules {
  acquireShare(time: CallTime, asked: ShareRequest): Answer {
    const { name, holder, isExclusive, ttl, wait, priority } = asked
    const at = time.now
    const shared = this.shared.get(name)
    let own = this.grantOf(name, holder, at)
    if (own?.holder !== holder) {
      if (!wait && own !== undefined && !this.#hasRoom(shared, name, isExclusive, at))
        return this.answer(false, own, at)
      own = undefined
    }
    if (own !== undefined) {
      if (isExclusive && shared?.exclusiveToken !== own.token) throw new Refusal('22023')
      return this.ownAgain(own, at, ttl)
    }
    const room = shared ?? this.#open(name, asked.capacity, at)
    const ahead = this.rank(name, holder, priority, at)
    const graceUntil = this.#graceOf(room, ttl, at)
    if (graceUntil === null) this.#sweep(name, at)
    if (ahead === 0 && graceUntil === null && this.#hasRoom(room, name, isExclusive)) {
      const share = this.#grantShare(room, at, { holder, isExclusive, ttl })
      this.#admit(name, at)
      return this.answer(true, share, at)
    }
    let rank: number | null = null
    if (wait) {
      rank = this.stand(at, asked)
      room.writtenAt = at
    }
    const answer = this.answer(false, this.grantOf(name, holder, at), at, rank)
    return graceUntil === null ? answer : { ...answer, expires_in: graceUntil - at }
  }

  setCapacity(at: number, name: string, capacity: number | null): void {
    const shared = this.shared.get(name) ?? this.#open(name, capacity, at)
    shared.capacity = capacity
    shared.writtenAt = at
    this.#sweep(name, at)
    this.#admit(name, at)
  }

  override leave(time: CallTime, name: string, holder: string): Answer {
    if (!this.shared.has(name)) return super.leave(time, name, holder)
    this.endWait(name, holder)
    this.#sweep(name, time.now)
    this.#admit(name, time.now)
    return super.leave(time, name, holder)
  }

  protected override releaseShare(share: Lease, at: number): void {
    const name = share.partOf as string
    this.leases.delete(share.name)
    const shared = this.shared.get(name)
    if (shared !== undefined) shared.writtenAt = at
    this.#sweep(name, at)
    this.#admit(name, at)
  }

  #open(name: string, capacity: number | null, at: number): Shared {
    const shared = { name, capacity, token: 1, exclusiveToken: null, writtenAt: at }
    this.shared.set(name, shared)
    return shared
  }

  #sharesOf(name: string): Lease[] {
    return [...this.leases.values()].filter(({ partOf }) => partOf === name)
  }

  /** @param at - for a first look: only what is held then counts; else all that was not swept. */
  #hasRoom(shared: Shared | undefined, name: string, isExclusive: boolean, at?: number): boolean {
    const all = this.#sharesOf(name)
    const taken =
      at === undefined ? all : all.filter((share) => this.isHeld(share, at) && share.renewedAt <= at)
    if (isExclusive) return taken.length === 0 && shared?.capacity !== 0
    if (taken.some(({ token }) => token === shared?.exclusiveToken)) return false
    return shared?.capacity == null || taken.length < shared.capacity
  }

  /** One that has run out stays in its grace: its TTL says for how long another one may still be trusted. */
  #sweep(name: string, at: number): void {
    for (const share of this.#sharesOf(name)) {
      this.cutIfFuture(share, at)
      if (!this.isHeld(share, at) && this.graceOf(share, null, at) === null) this.leases.delete(share.name)
    }
  }

  /** Only ever the first: whoever fits but stands behind one that does not must not pass it. */
  #admit(name: string, at: number): void {
    for (;;) {
      const next = this.first(name, at)
      const shared = this.shared.get(name)
      if (next === undefined || shared === undefined) return
      if (!this.#hasRoom(shared, name, next.isExclusive)) return
      if (this.#graceOf(shared, next.ttl, at) !== null) return
      const { candidate: holder, isExclusive, ttl } = next
      this.#grantShare(shared, at, { holder, isExclusive, ttl, accept: true })
    }
  }

  #grantShare(
    shared: Shared,
    at: number,
    asked: { holder: string; isExclusive: boolean; ttl: number; accept?: boolean },
  ): Lease {
    const { isExclusive, ...granted } = asked
    const of = { of: shared.name, lastToken: shared.token }
    const share = this.grant(undefined, { name: shared.name, at, ...granted }, of)
    shared.token = share.token
    shared.writtenAt = at
    if (isExclusive) shared.exclusiveToken = share.token
    return share
  }

  /** Knowing of some shares says nothing of others: none of them settles it. */
  #graceOf(shared: Shared, ttl: number, at: number): number | null {
    const ttls = this.#sharesOf(shared.name).map((share) => share.ttl ?? 0)
    return this.graceOf({ ttl: Math.max(0, ...ttls) }, ttl, at)
  }
}
