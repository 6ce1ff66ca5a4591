import type { Answer, Call } from './scripted-database.ts'
import type { StubClock } from './stub-clock.ts'

interface ModelLease {
  holder: string
  token: number
  version: number
  metadata: object | null
  ttlMs: number
  expiresAtMs: number
}

/** The rules of `sql/functions` in a few lines, on the time of the world: what many clients share in a test. */
export class ModelLeases {
  /** Each grant, in order. */
  readonly grants: { name: string; holder: string; token: number; atMs: number }[] = []
  readonly #clock: StubClock
  readonly #leases = new Map<string, ModelLease>()
  readonly #listeners = new Set<(channel: string) => void>()
  #lastToken = 1000

  constructor(clock: StubClock) {
    this.#clock = clock
  }

  /** Hears of each change of holder, on the lease's channel. */
  onChange(listener: (channel: string) => void): void {
    this.#listeners.add(listener)
  }

  /** Answers for a {@link ScriptedDatabase}. */
  answers(): Record<string, Answer> {
    return {
      acquire_lease: ({ arguments: asked }: Call) => [
        this.acquire(
          `${asked.name}`,
          `${asked.holder}`,
          Number.parseFloat(`${asked.ttl}`),
          json(asked.metadata),
        ),
      ],
      renew_leases: ({ arguments: asked }: Call) => {
        const tokens = asked.tokens as number[]
        return (asked.names as string[]).map((name, place) => this.renew(name, tokens[place] ?? 0))
      },
      release_lease: ({ arguments: asked }: Call) => [
        { released: this.release(`${asked.name}`, Number(asked.token)) },
      ],
      get_lease: ({ arguments: asked }: Call) => this.get(`${asked.name}`),
      listen: ({ arguments: asked }: Call) =>
        (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) })),
      unlisten: [],
    }
  }

  acquire(name: string, holder: string, ttlMs: number, metadata: object | null = null): object {
    const current = this.holding(name)
    if (current !== undefined && current.holder !== holder) return this.#row(false, current)
    if (current !== undefined) return this.#renewed(current)
    const lease = {
      holder,
      token: ++this.#lastToken,
      version: (this.#leases.get(name)?.version ?? 0) + 1,
      metadata,
      ttlMs,
      expiresAtMs: this.#clock.trueMs + ttlMs,
    }
    this.#leases.set(name, lease)
    this.grants.push({ name, holder, token: lease.token, atMs: this.#clock.trueMs })
    this.#tell(name)
    return this.#row(true, lease)
  }

  renew(name: string, token: number): object {
    const current = this.holding(name)
    if (current?.token !== token) return this.#row(false, current)
    return this.#renewed(current)
  }

  release(name: string, token: number): boolean {
    if (this.holding(name)?.token !== token) return false
    this.force(name)
    return true
  }

  /** Takes the lease away, as an operator does. */
  force(name: string): void {
    const lease = this.#leases.get(name)
    if (lease !== undefined) lease.expiresAtMs = Number.NEGATIVE_INFINITY
    this.#tell(name)
  }

  get(name: string): object[] {
    const lease = this.holding(name)
    return lease === undefined ? [] : [{ ...this.#row(true, lease), acquired_at: new Date(0) }]
  }

  /** What the database knows of the lease's holder; undefined: vacant. */
  holding(name: string): Readonly<ModelLease> | undefined {
    const lease = this.#leases.get(name)
    return lease !== undefined && lease.expiresAtMs > this.#clock.trueMs ? lease : undefined
  }

  #renewed(current: Readonly<ModelLease>): object {
    const lease = current as ModelLease
    lease.version += 1
    lease.expiresAtMs = this.#clock.trueMs + lease.ttlMs
    return this.#row(true, lease)
  }

  #row(granted: boolean, lease: Readonly<ModelLease> | undefined): object {
    return {
      granted,
      holder: lease?.holder ?? null,
      token: lease === undefined ? null : `${lease.token}`,
      version: lease === undefined ? null : `${lease.version}`,
      metadata: lease?.metadata ?? null,
      expires_in_ms: lease === undefined ? null : lease.expiresAtMs - this.#clock.trueMs,
    }
  }

  #tell(name: string): void {
    for (const listener of this.#listeners) listener(channelOf(name))
  }
}

/** The channel of a lease, in this model. */
export function channelOf(name: string): string {
  return `channel of ${name}`
}

function json(value: unknown): object | null {
  return typeof value === 'string' ? JSON.parse(value) : null
}
