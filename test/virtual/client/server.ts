/**
 * The database as the clients see it: the rules that are compared with the SQL in `../sql`, on a clock of the server's own, with
 * sessions and notifications, and with a past to which a fail-over can take it back.
 */
import { channelOf, ModelLeases, sessionChannelOf, withBatches } from '../../unit/support/model-leases.ts'
import type { PastSessions } from '../../unit/support/model-sessions.ts'
import type { Call, Answer as ScriptedAnswer } from '../../unit/support/scripted-database.ts'
import type { StubClock } from '../../unit/support/stub-clock.ts'
import { ShareRules } from '../sql/share-rules.ts'
import type { Answer, Lease } from '../sql/tables.ts'
import { CallTime } from '../sql/time.ts'

/** One grant, as the server made it. */
export interface Grant {
  readonly name: string
  readonly holder: string
  readonly token: number
}

/** What a fail-over may take the server back to. */
interface Past {
  readonly leases: ReadonlyMap<string, Lease>
  readonly keptBy: ReadonlyMap<number, string>
  readonly sessions: PastSessions
}

export class Server extends ModelLeases {
  readonly rules = new ShareRules()
  /** Tokens that were taken away, by an operator or a jump of the clock, before their holders could know. */
  readonly taken = new Set<number>()
  /** Those, and the ones that a fail-over has lost: the grace keeps all others out until their holders have stopped. */
  readonly excused = new Set<number>()
  readonly granted: Grant[] = []
  readonly #time: StubClock
  readonly #told = new Set<(channel: string, message: string) => void>()
  /** The session that each candidate is told in. */
  readonly #backends = new Map<string, number>()
  /** Which session keeps the lease of a token. It expires when that does: so the rules need not know of sessions. */
  #keptBy = new Map<number, string>()
  #sessions = 0
  #lastToken = 0
  /** Says what was granted under a token that is not new. */
  readonly repeated: number[] = []

  constructor(clock: StubClock) {
    super(clock)
    this.#time = clock
  }

  override connect(): number {
    this.#sessions += 1
    return this.#sessions
  }

  override onTold(listener: (channel: string, message: string) => void): void {
    this.#told.add(listener)
  }

  override answers(backend: () => number = () => 0): Record<string, ScriptedAnswer> {
    const now = () => new CallTime(this.#time.trueMs, 0)
    const at = () => this.#time.trueMs
    return withBatches({
      ...super.answers(backend),
      acquire_lease: ({ arguments: asked }: Call) => {
        const name = `${asked.name}`
        const holder = `${asked.holder}`
        const wait = asked.wait === true
        const priority = asked.priority === undefined ? 0 : (asked.priority as number | null)
        if (wait) this.#backends.set(`${name} ${holder}`, numberOr(asked.backend, backend()))
        const ttl = Number.parseFloat(`${asked.ttl}`)
        const answer = this.#change(name, () =>
          this.rules.acquire(now(), { name, holder, ttl, wait, priority }),
        )
        return [row(answer, name)]
      },
      get_candidacy: ({ arguments: asked }: Call) => [this.#stands(`${asked.name}`, `${asked.holder}`)],
      refresh_candidates: ({ arguments: asked }: Call) => {
        const holders = asked.holders as string[]
        return (asked.names as string[]).map((name, index) => {
          const holder = holders[index] as string
          this.#backends.set(`${name} ${holder}`, numberOr(asked.backend, backend()))
          return row(this.rules.refresh(at(), name, holder), name)
        })
      },
      leave_queue: ({ arguments: asked }: Call) => {
        const name = `${asked.name}`
        const { granted, token } = this.rules.leave(now(), name, `${asked.holder}`)
        if (granted !== true) return []
        return [{ released: this.#change(name, () => this.rules.release(now(), name, token as number)) }]
      },
      renew_session: (call: Call) => {
        const session = `${call.arguments.session}`
        const kept = [...this.rules.leases.values()].filter(
          ({ token }) => this.#keptBy.get(token) === session,
        )
        // What ends one of its leases, as a clock that jumps does, has ended it, too.
        if (!kept.every((lease) => lease.holder === null || this.rules.isHeld(lease, at()))) {
          this.sessions.end(session)
        }
        const answer = this.sessions.renew(session)
        for (const lease of kept) this.#keep(lease, session)
        return [answer]
      },
      end_session: ({ arguments: asked }: Call) => {
        const session = `${asked.session}`
        const ended = this.sessions.end(session)
        for (const lease of this.rules.leases.values()) {
          if (this.#keptBy.get(lease.token) === session)
            lease.expiresAt = Math.min(at(), lease.expiresAt ?? at())
        }
        return [{ ended }]
      },
      renew_leases: ({ arguments: asked }: Call) => {
        const session = typeof asked.session === 'string' ? asked.session : null
        if (session !== null) this.sessions.keep(session)
        const tokens = asked.tokens as number[]
        const grants = (asked.names as string[]).map((name, index) => ({
          name,
          token: Number(tokens[index]),
        }))
        return this.rules.renewMany(now(), grants).map((answer, index) => {
          const { name, token } = grants[index] as { name: string; token: number }
          if (answer.granted !== true) return row(answer, name)
          this.#bind(name, token, session)
          return row(
            { ...answer, expires_in: (this.rules.leases.get(name)?.expiresAt as number) - at() },
            name,
          )
        })
      },
      release_lease: ({ arguments: asked }: Call) => {
        const name = `${asked.name}`
        const own = typeof asked.session === 'string' ? asked.session : null
        const release = () => this.rules.release(now(), name, Number(asked.token))
        return [{ released: this.#change(name, release, own) }]
      },
      transfer_lease: ({ arguments: asked }: Call) => {
        const name = `${asked.name}`
        const successor = asked.successor === null ? null : `${asked.successor}`
        const transfer = () => this.rules.transfer(now(), name, Number(asked.token), successor, true)
        return [row(this.#change(name, transfer), name)]
      },
      get_candidates: ({ arguments: asked }: Call) =>
        this.rules.line(`${asked.name}`, at()).map(({ candidate, priority }) => ({
          candidate,
          priority,
          metadata: null,
          arrived_at_ms: 0,
          expires_in_ms: 1,
        })),
      get_lease: ({ arguments: asked }: Call) => {
        const answer = this.rules.look(at(), `${asked.name}`)
        if (answer === undefined) return []
        const stepDown = this.#stepDown.has(answer.token as number)
        return [
          {
            ...row(answer, `${asked.name}`),
            acquired_at_ms: 0,
            step_down_requested: stepDown,
            in_grace: answer.in_grace,
          },
        ]
      },
    })
  }

  readonly #stepDown = new Set<number>()

  override requestStepDown(name: string): void {
    const lease = this.rules.leases.get(name)
    if (!this.rules.isHeld(lease, this.#time.trueMs)) return
    this.#stepDown.add(lease.token)
    this.#say('step_down', name, lease.holder, lease.token, lease.holder)
  }

  /** Its holder gives it up as soon as it hears of that, which may be late. */
  isToStepDown(token: number): boolean {
    return this.#stepDown.has(token)
  }

  override force(name: string): void {
    const lease = this.rules.leases.get(name)
    if (lease !== undefined) this.#take(lease.token)
    this.#change(name, () => this.rules.force(new CallTime(this.#time.trueMs, 0), name))
  }

  /** The clock of the server is set. Where it jumps ahead, what is held ends early. */
  step(ms: number): void {
    this.#time.trueMs += ms
    if (ms > 0) for (const { token } of this.rules.leases.values()) this.#take(token)
  }

  #take(token: number): void {
    this.taken.add(token)
    this.excused.add(token)
  }

  /** How things stand, to come back to. */
  past(): Past {
    return structuredClone({
      leases: this.rules.leases,
      keptBy: this.#keptBy,
      sessions: this.sessions.past(),
    })
  }

  /** A standby takes over that has not heard of what came since. Lines are not replicated. */
  failOver({ leases, keptBy, sessions }: Past, clockMs: number): void {
    for (const { token } of this.rules.leases.values()) this.excused.add(token)
    this.rules.leases.clear()
    for (const [name, lease] of leases) this.rules.leases.set(name, { ...lease })
    this.rules.places.clear()
    this.#keptBy = new Map(keptBy)
    this.sessions.failOver(sessions)
    this.#time.trueMs += clockMs
    this.rules.newEpoch(this.#time.trueMs)
  }

  /** Whether the database says that it is held so. */
  knows(name: string, holder: string, token: number): boolean {
    const lease = this.rules.leases.get(name)
    return this.rules.isHeld(lease, this.#time.trueMs) && lease.holder === holder && lease.token === token
  }

  #stands(name: string, holder: string): object {
    const at = this.#time.trueMs
    const lease = this.rules.leases.get(name)
    const isOwn = this.rules.isHeld(lease, at) && lease.holder === holder
    const index = this.rules.line(name, at).findIndex(({ candidate }) => candidate === holder)
    return row(this.rules.answer(isOwn, lease, at, isOwn || index === -1 ? null : index), name)
  }

  /** From then on it lasts for as long as its session. */
  #keep(lease: Lease, session: string): void {
    if (lease.holder === null || this.sessions.expiresAtMs(session) <= this.#time.trueMs) return
    lease.expiresAt = this.sessions.expiresAtMs(session)
    lease.renewedAt = Math.min(lease.renewedAt, this.#time.trueMs)
  }

  #bind(name: string, token: number, session: string | null): void {
    const before = this.#keptBy.get(token)
    const lease = this.rules.leases.get(name)
    if (before !== undefined && before !== session) this.sessions.lose(before, name, token)
    this.#keptBy.delete(token)
    if (session === null || lease === undefined) return
    this.#keptBy.set(token, session)
    this.#keep(lease, session)
  }

  /** Tells of what has changed. */
  #change<T>(name: string, change: () => T, own: string | null = null): T {
    const before = { ...this.rules.leases.get(name) }
    const wasHeld = this.rules.isHeld(this.rules.leases.get(name), this.#time.trueMs)
    const result = change()
    const after = this.rules.leases.get(name)
    if (after === undefined || (after.token === before.token && after.holder === before.holder)) return result
    const keptBy = this.#keptBy.get(before.token ?? 0)
    if (keptBy !== undefined) {
      this.#keptBy.delete(before.token ?? 0)
      if (!wasHeld) this.sessions.end(keptBy)
      else if (keptBy !== own) this.sessions.lose(keptBy, name, before.token as number)
    }
    const previous = before.holder ?? null
    const { holder, token } = after
    if (holder === null) {
      const next = this.rules.line(name, this.#time.trueMs)[0]?.candidate
      this.#say('released', name, null, token, previous, this.#backends.get(`${name} ${next}`))
      return result
    }
    this.granted.push({ name, holder, token })
    if (token <= this.#lastToken) this.repeated.push(token)
    this.#lastToken = Math.max(token, this.#lastToken)
    this.#say('granted', name, holder, token, previous, this.#backends.get(`${name} ${holder}`))
    return result
  }

  #say(
    event: string,
    name: string,
    holder: string | null,
    token: number,
    previousHolder: string | null,
    backend?: number,
  ): void {
    const message = JSON.stringify({ event, name, holder, token, previous_holder: previousHolder })
    for (const tell of this.#told) {
      tell(channelOf(name), message)
      if (backend !== undefined) tell(sessionChannelOf(backend), message)
    }
  }
}

/** As the driver brings it: 64-bit numbers as text. */
function row({ granted, holder, token, version, expires_in, rank }: Answer, name: string): object {
  return {
    lease: token === null ? null : name,
    granted: granted ?? null,
    holder,
    token: token === null ? null : `${token}`,
    version: version === null ? null : `${version}`,
    metadata: null,
    expires_in_ms: expires_in,
    rank: rank ?? null,
  }
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise
}
