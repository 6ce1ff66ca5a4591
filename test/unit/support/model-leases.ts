import { ModelLine, type Waiting } from './model-line.ts'
import { ModelSessions } from './model-sessions.ts'
import type { Answer, Call } from './scripted-database.ts'
import type { StubClock } from './stub-clock.ts'

interface ModelLease {
  readonly name: string
  holder: string | null
  token: number
  version: number
  metadata: object | null
  ttlMs: number
  expiresAtMs: number
  /** What keeps it, in place of its own expiry. */
  session: string | null
  stepDownRequested: boolean
}

/** A lease that was handed over lasts so long until its new holder renews it. */
const ACCEPT_MS = 2000
/** One that nobody holds may be taken so much later by each who waits behind another. */
const RANK_DELAY_MS = 250

/** The rules of `sql/functions` in a few lines, on the time of the world: what many clients share in a test. */
export class ModelLeases {
  /** Each grant, in order. */
  readonly grants: { name: string; holder: string; token: number; atMs: number }[] = []
  /** Who waits for each lease. */
  readonly line: ModelLine
  readonly sessions: ModelSessions
  readonly #clock: StubClock
  readonly #leases = new Map<string, ModelLease>()
  readonly #listeners = new Set<(channel: string, message: string) => void>()
  #lastToken = 1000
  #lastBackend = 0

  constructor(clock: StubClock) {
    this.#clock = clock
    this.line = new ModelLine(clock)
    this.sessions = new ModelSessions(clock)
  }

  /** Hears everything that is told on the channels of leases and of sessions. */
  onTold(listener: (channel: string, message: string) => void): void {
    this.#listeners.add(listener)
  }

  /** A new session, by its process id. */
  connect(): number {
    this.#lastBackend += 1
    return this.#lastBackend
  }

  /** Answers for a {@link ScriptedDatabase}, in the session that it has at the time. */
  answers(backend: () => number = () => 0): Record<string, Answer> {
    const told = (asked: Call['arguments']) => Number(asked.backend ?? backend())
    return withBatches({
      ...this.sessions.answers(),
      acquire_lease: ({ arguments: asked }: Call) => {
        const waiting =
          asked.wait === true ? { priority: Number(asked.priority), backend: told(asked) } : undefined
        const ttlMs = Number.parseFloat(`${asked.ttl}`)
        return [this.acquire(`${asked.name}`, `${asked.holder}`, ttlMs, json(asked.metadata), waiting)]
      },
      get_candidacy: ({ arguments: asked }: Call) => [this.candidacy(`${asked.name}`, `${asked.holder}`)],
      refresh_candidates: ({ arguments: asked }: Call) => {
        const holders = asked.holders as string[]
        return (asked.names as string[]).map((name, index) => {
          const holder = holders[index] as string
          this.line.refresh(name, holder, told(asked))
          return this.candidacy(name, holder)
        })
      },
      // As the client calls it: what was granted in the same moment is given back.
      leave_queue: ({ arguments: asked }: Call) => {
        const name = `${asked.name}`
        this.line.leave(name, `${asked.holder}`)
        const current = this.holding(name)
        if (current === undefined || current.holder !== asked.holder) return []
        return [{ released: this.release(name, current.token) }]
      },
      renew_leases: ({ arguments: asked }: Call) => {
        const tokens = asked.tokens as number[]
        const session = textOrNull(asked.session)
        return (asked.names as string[]).map((name, index) => this.renew(name, tokens[index] ?? 0, session))
      },
      release_lease: ({ arguments: asked }: Call) => [
        { released: this.release(`${asked.name}`, Number(asked.token), textOrNull(asked.session)) },
      ],
      transfer_lease: ({ arguments: asked }: Call) => {
        const successor = asked.successor === null ? undefined : `${asked.successor}`
        return [this.transfer(`${asked.name}`, Number(asked.token), successor)]
      },
      get_candidates: ({ arguments: asked }: Call) =>
        this.line.candidates(`${asked.name}`).map((candidate) => ({
          candidate,
          priority: this.line.waiting(`${asked.name}`, candidate)?.priority,
          metadata: null,
          arrived_at_ms: 0,
          expires_in_ms: 1,
        })),
      get_lease: ({ arguments: asked }: Call) => this.get(`${asked.name}`),
      listen: ({ arguments: asked }: Call) =>
        (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) })),
      listen_here: () => [{ channel: sessionChannelOf(backend()), backend: backend() }],
      unlisten: [],
    })
  }

  /** @param waiting - how it stands in line if it is refused */
  acquire(
    name: string,
    holder: string,
    ttlMs: number,
    metadata: object | null = null,
    waiting?: Waiting,
  ): object {
    const current = this.holding(name)
    if (current?.holder === holder) return this.#renewed(current, ttlMs)
    const rank = this.line.rank(name, holder, waiting?.priority ?? 0)
    if (current === undefined && this.#isTurn(name, rank)) {
      this.line.leave(name, holder)
      const event = this.#leases.get(name)?.holder == null ? 'granted' : 'expired'
      return this.#row(true, this.#grant({ name, holder, ttlMs, metadata, event }))
    }
    const place = waiting === undefined ? null : this.line.stand(name, holder, ttlMs, metadata, waiting)
    return { ...this.#row(false, current, place), lease: name }
  }

  /** How a contender stands. */
  candidacy(name: string, holder: string): object {
    const current = this.holding(name)
    return this.#row(current?.holder === holder, current, this.line.rankOf(name, holder))
  }

  /** @param session - what keeps it from now on; null: its own expiry */
  renew(name: string, token: number, session: string | null = null): object {
    if (session !== null) this.sessions.keep(session)
    const current = this.holding(name)
    if (current?.token !== token) return this.#row(false, current)
    return this.#renewed(current, current.ttlMs, session)
  }

  /** Hands the lease to the first in line, or vacates it. */
  release(name: string, token: number, session: string | null = null): boolean {
    if (this.holding(name)?.token !== token) return false
    this.#loseFrom(name, session)
    if (this.#handOver(name, 'granted') === undefined) this.#vacate(name, 'released')
    return true
  }

  /** Hands the lease to one that waits, by default the first. */
  transfer(name: string, token: number, successor?: string): object {
    const current = this.holding(name)
    if (current?.token !== token) return this.#row(false, current)
    const { session } = current
    const granted = this.#handOver(name, 'transferred', successor)
    if (granted !== undefined && session !== null) this.sessions.lose(session, name, token)
    return this.#row(granted !== undefined, granted ?? current)
  }

  /** Takes the lease away, as an operator does: whoever is first in line comes and takes it. */
  force(name: string): void {
    this.#loseFrom(name)
    this.#vacate(name, 'forced')
  }

  /** Asks the holder to give the lease back. */
  requestStepDown(name: string): void {
    const lease = this.#leases.get(name)
    if (lease === undefined || this.holding(name) === undefined) return
    lease.stepDownRequested = true
    this.#tell('step_down', name, { holder: lease.holder, token: lease.token, previousHolder: lease.holder })
  }

  get(name: string): object[] {
    const lease = this.holding(name)
    if (lease === undefined) return []
    return [
      {
        ...this.#row(true, lease),
        acquired_at_ms: 0,
        step_down_requested: lease.stepDownRequested,
        in_grace: false,
      },
    ]
  }

  /** What the database knows of the lease's holder; undefined: vacant. */
  holding(name: string): Readonly<ModelLease> | undefined {
    const lease = this.#leases.get(name)
    const isHeld =
      lease !== undefined && lease.holder !== null && this.#expiresAtMs(lease) > this.#clock.trueMs
    return isHeld ? lease : undefined
  }

  #expiresAtMs({ session, expiresAtMs }: ModelLease): number {
    return session === null ? expiresAtMs : this.sessions.expiresAtMs(session)
  }

  /** Has the session that kept a lease tell that, unless it is given up by that itself. */
  #loseFrom(name: string, own: string | null = null): void {
    const lease = this.#leases.get(name)
    if (lease === undefined || lease.session === null) return
    if (lease.session !== own) this.sessions.lose(lease.session, name, lease.token)
    lease.session = null
  }

  /** Those behind others wait a little longer, in case those are dead. */
  #isTurn(name: string, rank: number): boolean {
    const lease = this.#leases.get(name)
    if (rank === 0 || lease === undefined) return true
    const vacantSinceMs = this.#expiresAtMs(lease)
    return this.#clock.trueMs > vacantSinceMs + rank * RANK_DELAY_MS
  }

  #grant(granted: {
    name: string
    holder: string
    ttlMs: number
    metadata: object | null
    event: string
    acceptMs?: number
    backend?: number
  }): Readonly<ModelLease> {
    const { name, holder, ttlMs, metadata, event, acceptMs = ttlMs, backend } = granted
    const before = this.#leases.get(name)
    // Ended for good before one of its leases is another's.
    if (event === 'expired' && before?.session != null) this.sessions.end(before.session)
    const lease = {
      name,
      holder,
      token: ++this.#lastToken,
      version: (before?.version ?? 0) + 1,
      metadata,
      ttlMs,
      expiresAtMs: this.#clock.trueMs + Math.min(ttlMs, acceptMs),
      session: null,
      stepDownRequested: false,
    }
    this.#leases.set(name, lease)
    this.grants.push({ name, holder, token: lease.token, atMs: this.#clock.trueMs })
    this.#tell(event, name, { holder, token: lease.token, previousHolder: before?.holder ?? null, backend })
    return lease
  }

  /** Undefined: nobody waits, or not that one. */
  #handOver(name: string, event: string, successor?: string): Readonly<ModelLease> | undefined {
    const next = successor === undefined ? this.line.first(name) : this.line.waiting(name, successor)
    if (next === undefined) return undefined
    const { candidate: holder, ttlMs, metadata, backend } = next
    this.line.leave(name, holder)
    return this.#grant({ name, holder, ttlMs, metadata, backend, event, acceptMs: ACCEPT_MS })
  }

  #vacate(name: string, event: string): void {
    const lease = this.#leases.get(name)
    if (lease === undefined) return
    const { holder: previousHolder, token } = lease
    lease.holder = null
    lease.expiresAtMs = this.#clock.trueMs
    this.#tell(event, name, { holder: null, token, previousHolder, backend: this.line.first(name)?.backend })
  }

  #renewed(current: Readonly<ModelLease>, ttlMs = current.ttlMs, session: string | null = null): object {
    const lease = current as ModelLease
    lease.version += 1
    lease.ttlMs = ttlMs
    lease.expiresAtMs = Math.max(this.#expiresAtMs(lease), this.#clock.trueMs + ttlMs)
    if (session !== lease.session) this.#loseFrom(lease.name)
    lease.session = session
    return this.#row(true, lease)
  }

  #row(granted: boolean, lease: Readonly<ModelLease> | undefined, rank: number | null = null): object {
    return {
      lease: lease?.name ?? null,
      granted,
      holder: lease?.holder ?? null,
      token: lease === undefined ? null : `${lease.token}`,
      version: lease === undefined ? null : `${lease.version}`,
      metadata: lease?.metadata ?? null,
      expires_in_ms: lease === undefined ? null : this.#expiresAtMs(lease) - this.#clock.trueMs,
      rank,
    }
  }

  #tell(
    event: string,
    name: string,
    told: {
      holder: string | null
      token: number
      previousHolder: string | null
      backend?: number | undefined
    },
  ): void {
    const { holder, token, previousHolder, backend } = told
    const message = JSON.stringify({ event, name, holder, token, previous_holder: previousHolder })
    for (const listener of this.#listeners) {
      listener(channelOf(name), message)
      if (backend !== undefined) listener(sessionChannelOf(backend), message)
    }
  }
}

/** Adds the functions that decide for many leases, one after the other as the others do. */
export function withBatches(answers: Record<string, Answer>): Record<string, Answer> {
  const one = (call: Call, name: string, asked: Call['arguments']): object => {
    const answer = answers[name] as (call: Call) => readonly object[]
    return answer({ ...call, name, arguments: asked })[0] as object
  }
  const names = ({ arguments: asked }: Call) => asked.names as string[]
  return {
    ...answers,
    acquire_leases: (call) => {
      const { holders, ttls, metadata_list: metadata } = call.arguments as Record<string, string[] | null>
      return names(call).map((name, index) => {
        const asked = { name, holder: holders?.[index], ttl: ttls?.[index], metadata: metadata?.[index] }
        return one(call, 'acquire_lease', asked)
      })
    },
    release_leases: (call) => {
      const tokens = call.arguments.tokens as number[]
      const { session } = call.arguments
      return names(call).map((name, index) =>
        one(call, 'release_lease', { name, token: tokens[index], session }),
      )
    },
  }
}

/** The channel of a lease, in this model. */
export function channelOf(name: string): string {
  return `channel of ${name}`
}

/** The channel of a session. */
export function sessionChannelOf(backend: number): string {
  return `elect_session_${backend}`
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

function json(value: unknown): object | null {
  return typeof value === 'string' ? JSON.parse(value) : null
}
