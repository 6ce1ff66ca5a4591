/** Contenders that are no more than a session: they call the functions as psql would, at random, and record what they were told. */
import type pg from 'pg'
import type { Random } from '../../../src/jitter.ts'
import { type History, moment } from './history.ts'
import type { FaultServer } from './server.ts'

/** What a contender does with the leases it contends for. */
export interface SessionPlan {
  readonly leases: readonly string[]
  /** One of these is drawn for each grant. */
  readonly ttlsMs: readonly number[]
  readonly random: Random
  readonly history: History
  /** Run once in each session, such as a SET. */
  readonly prelude: string
}

interface Answer {
  readonly granted: boolean | null
  readonly token: string | null
  readonly expires_in_ms: number | null
}

interface Held {
  readonly token: number
  readonly trustedUntil: number
}

const answerColumns = 'granted, token, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in_ms'

/** One contender: always the same holder, whichever connection it has. */
export class SessionContender {
  readonly holder: string
  readonly #plan: SessionPlan
  readonly #held = new Map<string, Held>()

  constructor(holder: string, plan: SessionPlan) {
    this.holder = holder
    this.#plan = plan
  }

  /** Contends on a connection of its own until that is lost. */
  async contend(server: FaultServer): Promise<void> {
    let client: pg.Client | undefined
    try {
      client = await server.connect()
      await client.query(this.#plan.prelude)
      for (;;) await this.#step(client)
    } catch (error) {
      if (!isLoss(error)) throw error
    } finally {
      client?.end().catch(() => undefined)
    }
  }

  async #step(client: pg.Client): Promise<void> {
    const { random, leases } = this.#plan
    const trusted = [...this.#held].filter(([, { trustedUntil }]) => moment() < trustedUntil)
    const choice = random()
    const [lease, held] = trusted[Math.floor(random() * trusted.length)] ?? []
    if (lease !== undefined && held !== undefined && choice < 0.3) await this.#renew(client, lease, held)
    else if (lease !== undefined && held !== undefined && choice < 0.6)
      await this.#release(client, lease, held)
    // Perhaps what it has already: that is a retry.
    else await this.#acquire(client, leases[Math.floor(random() * leases.length)] as string)
  }

  async #acquire(client: pg.Client, lease: string): Promise<void> {
    const { ttlsMs, random, history } = this.#plan
    const ttlMs = ttlsMs[Math.floor(random() * ttlsMs.length)] as number
    const text = `SELECT ${answerColumns} FROM elect.acquire_lease($1, $2, $3 * interval '1 millisecond')`
    const asked = { lease, holder: this.holder, sentAt: moment() }
    const answer = await this.#ask(client, 'grant', asked, text, [lease, this.holder, ttlMs])
    const answeredAt = moment()
    const { granted, token, expires_in_ms: expiresInMs } = answer
    if (granted !== true || token === null) {
      history.record({ kind: 'refused', asked: 'grant', ...asked, answeredAt })
      return
    }
    const held = { token: Number(token), trustedUntil: asked.sentAt + Math.min(ttlMs, expiresInMs ?? ttlMs) }
    history.record({ kind: 'grant', ...asked, answeredAt, ...held })
    this.#held.set(lease, held)
  }

  async #renew(client: pg.Client, lease: string, { token }: Held): Promise<void> {
    const { history } = this.#plan
    const text = `SELECT ${answerColumns} FROM elect.renew_lease($1, $2)`
    const asked = { lease, holder: this.holder, sentAt: moment() }
    const answer = await this.#ask(client, 'renewal', asked, text, [lease, token])
    const answeredAt = moment()
    if (answer.granted !== true) {
      history.record({ kind: 'refused', asked: 'renewal', ...asked, answeredAt })
      this.#end(lease, token, answeredAt, false)
      return
    }
    const held = { token, trustedUntil: asked.sentAt + (answer.expires_in_ms ?? 0) }
    history.record({ kind: 'renewal', ...asked, answeredAt, ...held })
    this.#held.set(lease, held)
  }

  async #release(client: pg.Client, lease: string, { token }: Held): Promise<void> {
    const asked = { lease, holder: this.holder, sentAt: moment() }
    // Whatever comes of it, this one trusts no more.
    this.#end(lease, token, asked.sentAt, true)
    await this.#ask(client, 'release', asked, 'SELECT elect.release_lease($1, $2) AS granted', [lease, token])
  }

  #end(lease: string, token: number, at: number, isRelease: boolean): void {
    this.#plan.history.record({ kind: 'ending', lease, holder: this.holder, token, at, isRelease })
    this.#held.delete(lease)
  }

  async #ask(
    client: pg.Client,
    asked: 'grant' | 'renewal' | 'release',
    call: { readonly lease: string; readonly holder: string; readonly sentAt: number },
    text: string,
    values: unknown[],
  ): Promise<Answer> {
    try {
      const { rows } = await client.query<Answer>(text, values)
      return rows[0] as Answer
    } catch (error) {
      this.#plan.history.record({ kind: 'unknown', asked, ...call, answeredAt: moment() })
      throw error
    }
  }
}

/** Whether the connection was lost, or the server is on its way down, rather than refusing what was asked. */
export function isLoss(error: unknown): boolean {
  const { code = '', message } = error as Error & { code?: string }
  return /^(ECONN|EPIPE|08|57P)/.test(code) || /^Connection terminated|not queryable/.test(message)
}
