import { serverError } from './pg-errors.ts'
import type { Answer, Call } from './scripted-database.ts'
import type { StubClock } from './stub-clock.ts'

interface ModelSession {
  readonly ttlMs: number
  readonly epoch: number
  renewedAtMs: number
  expiresAtMs: number
  readonly losses: { name: string; token: number }[]
}

/** What a fail-over may take the sessions back to. */
export type PastSessions = ReadonlyMap<string, ModelSession>

/** The rules of `sql/functions/*session.sql`, on the time of the world. */
export class ModelSessions {
  /** Another one for each server that took over. */
  epoch = 1
  readonly #clock: StubClock
  #sessions = new Map<string, ModelSession>()
  #opened = 0

  constructor(clock: StubClock) {
    this.#clock = clock
  }

  /** Answers for a `ScriptedDatabase`. */
  answers(): Record<string, Answer> {
    return {
      open_session: ({ arguments: asked }: Call) => [
        { session: this.open(Number.parseFloat(`${asked.ttl}`)) },
      ],
      renew_session: ({ arguments: asked }: Call) => [this.renew(`${asked.session}`)],
      end_session: ({ arguments: asked }: Call) => [{ ended: this.end(`${asked.session}`) }],
    }
  }

  open(ttlMs: number): string {
    this.#opened += 1
    const id = `session ${this.#opened}`
    const atMs = this.#clock.trueMs
    this.#sessions.set(id, {
      ttlMs,
      epoch: this.epoch,
      renewedAtMs: atMs,
      expiresAtMs: atMs + ttlMs,
      losses: [],
    })
    return id
  }

  renew(id: string): object {
    const session = this.#sessions.get(id)
    const atMs = this.#clock.trueMs
    if (session === undefined || session.expiresAtMs <= atMs) return sessionRow(false)
    const lost = session.losses.length > 0 ? session.losses : undefined
    const losses = {
      lost_names: lost?.map(({ name }) => name),
      lost_tokens: lost?.map(({ token }) => `${token}`),
    }
    if (session.epoch !== this.epoch) return { ...sessionRow(false), ...losses, must_reopen: true }
    const { ttlMs, renewedAtMs, expiresAtMs } = session
    session.expiresAtMs =
      renewedAtMs > atMs
        ? atMs + Math.max(ttlMs, expiresAtMs - renewedAtMs)
        : Math.max(expiresAtMs, atMs + ttlMs)
    session.renewedAtMs = atMs
    return { ...sessionRow(true, session.expiresAtMs - atMs), ...losses }
  }

  end(id: string): boolean {
    const isAlive = this.expiresAtMs(id) > this.#clock.trueMs
    this.#sessions.delete(id)
    return isAlive
  }

  /** Until when a session lasts, and so its leases. */
  expiresAtMs(id: string): number {
    return this.#sessions.get(id)?.expiresAtMs ?? Number.NEGATIVE_INFINITY
  }

  /** @throws LE004 unless it can keep a lease from now on. */
  keep(id: string): void {
    const session = this.#sessions.get(id)
    if (session !== undefined && session.expiresAtMs > this.#clock.trueMs && session.epoch === this.epoch)
      return
    throw serverError('LE004', `Session ${id} has ended`)
  }

  /** Its next renewals tell that it has lost that. */
  lose(id: string, name: string, token: number): void {
    const losses = this.#sessions.get(id)?.losses
    if (losses?.some((loss) => loss.name === name && loss.token === token) === false)
      losses.push({ name, token })
  }

  past(): PastSessions {
    return structuredClone(this.#sessions)
  }

  /** A standby takes over that knows of no more than that. */
  failOver(past: PastSessions = this.past()): void {
    this.#sessions = new Map(structuredClone(past))
    this.epoch += 1
  }
}

/** The answer to a renewal, as the driver brings it. */
export function sessionRow(granted: boolean | null, expiresInMs: number | null = null) {
  return { granted, expires_in_ms: expiresInMs, must_reopen: false, lost_names: null, lost_tokens: null }
}
