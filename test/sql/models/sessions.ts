/** What leases and the sessions that keep some of them have to do: the whole of it, without a database. */

export const LEASES = ['x', 'y'] as const
export type LeaseName = (typeof LEASES)[number]

export class Session {
  readonly id: string
  /** Gone: without a row. Over: it has run out, and nobody has found it so yet. */
  state: 'alive' | 'over' | 'gone' = 'alive'
  /** Those that were taken from it, by the lease and its term. */
  lost = new Set<string>()

  constructor(id: string) {
    this.id = id
  }
}

export class Lease {
  readonly name: LeaseName
  holder: string | null = null
  /** Counts the grants, as the token does. */
  term = 0
  /** The session that keeps it; null: it has a ttl of its own. */
  keeper: Session | null = null
  /** Whether that ttl is over. */
  isOver = false

  constructor(name: LeaseName) {
    this.name = name
  }

  get isHeld(): boolean {
    return this.holder !== null && (this.keeper === null ? !this.isOver : this.keeper.state === 'alive')
  }

  get key(): string {
    return `${this.name} ${this.term}`
  }

  /** It leaves the session that keeps it, for this one; that is told unless it knows. */
  #leave(to: Session | null): void {
    if (this.keeper !== to && this.keeper?.state === 'alive') this.keeper.lost.add(this.key)
    this.keeper = to
  }

  /** @returns the SQLSTATE, and what is answered. */
  ask(holder: string, session: Session | null): { code: string; granted?: boolean } {
    if (session !== null && session.state !== 'alive') return { code: 'LE004' }
    if (!this.isHeld) {
      if (this.keeper?.state === 'over') this.keeper.state = 'gone'
      this.holder = holder
      this.term += 1
      this.keeper = session
      this.isOver = false
      return { code: '00000', granted: true }
    }
    if (this.holder !== holder) return { code: '00000', granted: false }
    return this.renew(session)
  }

  renew(session: Session | null): { code: string; granted?: boolean } {
    if (!this.isHeld) return { code: '00000', granted: false }
    if (session !== null && session.state !== 'alive') return { code: 'LE004' }
    this.#leave(session)
    session?.lost.delete(this.key)
    this.isOver = false
    return { code: '00000', granted: true }
  }

  vacate(own: Session | null): boolean {
    if (!this.isHeld) return false
    this.#leave(own)
    this.keeper = null
    this.holder = null
    return true
  }
}
