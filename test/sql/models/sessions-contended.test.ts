/**
 * Several processes at once, each with a session of its own and plain leases beside it, on short TTLs and in transactions that stay open:
 * nobody is granted a lease before the deadline of its last holder, and what is taken from a session is told by its next renewal.
 * SEED repeats the choices, though not the timing; CONTEND_MS: for how long.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { expect, test } from 'vitest'
import type { Random } from '../../../src/jitter.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { acquire, type Grant, grantColumns, oneRow, rowsOf, scalar, useDatabase } from '../leases.ts'
import { acquireIn, openSession, releaseIn, renewIn, renewSession } from '../sessions.ts'

const WORKERS = 6
const NAMES = ['a', 'b', 'c']
const TTL_MS = 300
/** Some beat with room to spare, others at the last moment. */
const TTLS = ['200 milliseconds', `${TTL_MS} milliseconds`, '600 milliseconds']
const durationMs = Number(process.env.CONTEND_MS || 4_000)
const seed = Number(process.env.SEED || Math.floor(Math.random() * 2 ** 31))
/** Of those who come too late, or meet another's transaction. */
const EXPECTED = ['LE004', '55P03', '40P01']

/** One grant, as its holder knows of it. */
interface Term {
  readonly name: string
  readonly token: number
  readonly grantedAtMs: number
  /** Until when its holder trusts it. */
  untilMs: number
  /** When it was known to be taken away by an operator. */
  forcedAtMs: number
  session: string | null
}

/** What all of them saw. */
class History {
  readonly wrong: string[] = []
  readonly #terms = new Map<string, Term[]>()
  readonly #forcedFromMs = new Map<number, number>()
  readonly counts = { grants: 0, renewals: 0, losses: 0, refused: 0, ended: 0 }

  granted(name: string, token: number, untilMs: number, session: string | null): Term {
    const terms = this.#terms.get(name) ?? []
    const known = terms.find((term) => term.token === token)
    if (known !== undefined) {
      known.untilMs = Math.max(known.untilMs, untilMs)
      known.session = session
      this.#check(name)
      return known
    }
    const forcedAtMs = Number.POSITIVE_INFINITY
    const term: Term = { name, token, grantedAtMs: performance.now(), untilMs, forcedAtMs, session }
    this.#terms.set(name, [...terms, term])
    this.counts.grants += 1
    this.#check(name)
    return term
  }

  /** An operator is about to take it away. Its holder may hear of its grant later, and the next one before the operator does. */
  forcing(token: number): void {
    if (!this.#forcedFromMs.has(token)) this.#forcedFromMs.set(token, performance.now())
  }

  forced(name: string, token: number): void {
    const term = this.#terms.get(name)?.find((other) => other.token === token)
    if (term !== undefined) term.forcedAtMs = performance.now()
  }

  /** Whoever was granted it later was so after the trust of those before had ended. */
  #check(name: string): void {
    const terms = (this.#terms.get(name) ?? []).toSorted((a, b) => a.token - b.token)
    terms.forEach((term, place) => {
      const next = terms[place + 1]
      if (next === undefined || term.untilMs <= next.grantedAtMs) return
      const forcedFromMs = this.#forcedFromMs.get(term.token) ?? Number.POSITIVE_INFINITY
      if (forcedFromMs < next.grantedAtMs) return
      const early = (term.untilMs - next.grantedAtMs).toFixed(1)
      this.wrong.push(`${name}: ${next.token} was granted ${early} ms before the end of ${term.token}`)
      term.untilMs = next.grantedAtMs
    })
  }
}

class Worker {
  readonly #client: pg.Client
  readonly #holder: string
  readonly #random: Random
  readonly #history: History
  #session: string | undefined
  #held: Term[] = []

  constructor(client: pg.Client, holder: string, random: Random, history: History) {
    this.#client = client
    this.#holder = holder
    this.#random = random
    this.#history = history
  }

  async run(untilMs: number): Promise<void> {
    const steps = [
      this.#acquire,
      this.#acquire,
      this.#acquire,
      this.#beat,
      this.#beat,
      this.#beat,
      this.#move,
      this.#move,
      this.#release,
      this.#force,
    ]
    while (performance.now() < untilMs) {
      const step = this.#pick(steps)
      await this.#attempt(step.bind(this))
      const pause = this.#random()
      await delay(pause < 0.05 ? TTL_MS * 2 : pause * 20)
    }
  }

  #pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item
  }

  /** Runs the step, at times in a transaction that stays open, and tells what came of it once that is known to be so. */
  async #attempt(step: () => Promise<() => void>): Promise<void> {
    const isOpen = this.#random() < 0.15
    try {
      if (isOpen) await this.#client.query('BEGIN')
      const conclude = await step()
      if (isOpen) await delay(this.#random() * 2 * TTL_MS)
      const isUndone = isOpen && this.#random() < 0.4
      if (isOpen) await this.#client.query(isUndone ? 'ROLLBACK' : 'COMMIT')
      if (!isUndone) conclude()
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || !EXPECTED.includes(error.code ?? '')) throw error
      this.#history.counts.refused += 1
      if (isOpen) await this.#client.query('ROLLBACK')
      if (error.code === 'LE004') this.#session = undefined
    }
  }

  async #acquire(): Promise<() => void> {
    const name = this.#pick(NAMES)
    const session = this.#session
    const sentAtMs = performance.now()
    const kept = session !== undefined && this.#random() < 0.7 ? session : null
    const grant =
      kept === null
        ? await acquire(this.#client, name, this.#holder, this.#pick(TTLS))
        : await acquireIn(this.#client, kept, name, this.#holder)
    return () => this.#trust(name, grant, sentAtMs, kept)
  }

  #trust(
    name: string,
    { granted, token, expiresInMs }: Grant,
    sentAtMs: number,
    session: string | null,
  ): void {
    if (granted !== true || token === null || expiresInMs === null) return
    const term = this.#history.granted(name, token, sentAtMs + expiresInMs, session)
    if (!this.#held.includes(term)) this.#held.push(term)
  }

  async #beat(): Promise<() => void> {
    const session = this.#session
    if (session === undefined) {
      const opened = await openSession(this.#client, this.#holder, this.#pick(TTLS))
      return () => {
        this.#session = opened
      }
    }
    const sentAtMs = performance.now()
    const { granted, expiresInMs, lost } = await renewSession(this.#client, session)
    return () => {
      const { counts, wrong } = this.#history
      if (granted === false) {
        this.#session = undefined
        counts.ended += 1
      }
      if (granted !== true || expiresInMs === null) return
      counts.renewals += 1
      counts.losses += lost.length
      const isLost = (term: Term) => lost.some(([name, token]) => name === term.name && token === term.token)
      for (const term of this.#held.filter((other) => other.session === session)) {
        if (isLost(term)) this.#forget(term)
        else if (term.forcedAtMs < sentAtMs)
          wrong.push(`${term.name}: the loss of ${term.token} was not told`)
        else this.#history.granted(term.name, term.token, sentAtMs + expiresInMs, session)
      }
    }
  }

  #forget(term: Term): void {
    this.#held = this.#held.filter((other) => other !== term)
  }

  /** Into the session, or out of it, by the token. */
  async #move(): Promise<() => void> {
    const term = this.#pick(this.#held)
    if (term === undefined) return () => {}
    const to = this.#random() < 0.6 ? (this.#session ?? null) : null
    const sentAtMs = performance.now()
    const own = this.#random() < 0.5 ? '100 milliseconds' : null
    let grant: Grant
    if (this.#random() < 0.5) grant = await renewIn(this.#client, to, term.name, term.token, own)
    else {
      const text = `SELECT ${grantColumns} FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint], $3, $4)`
      grant = await oneRow<Grant>(this.#client, text, [term.name, term.token, own, to])
    }
    return () => {
      if (grant.granted === false) this.#forget(term)
      else this.#trust(term.name, grant, sentAtMs, to)
    }
  }

  async #release(): Promise<() => void> {
    const term = this.#pick(this.#held)
    if (term === undefined) return () => {}
    // Not trusted from here on, whatever becomes of it.
    term.untilMs = Math.min(term.untilMs, performance.now())
    this.#forget(term)
    await releaseIn(
      this.#client,
      term.session ?? '00000000-0000-0000-0000-000000000000',
      term.name,
      term.token,
    )
    return () => {}
  }

  async #force(): Promise<() => void> {
    if (this.#random() < 0.5) return () => {}
    const name = this.#pick(NAMES)
    const [held] = await rowsOf<{ token: number }>(
      this.#client,
      'SELECT token::float8 FROM elect.leases WHERE name = $1 FOR UPDATE',
      [name],
    )
    const text = `SELECT elect.force_release(l.name, 'a test') FROM elect.leases l WHERE name = $1 AND token = $2`
    if (held === undefined) return () => {}
    this.#history.forcing(held.token)
    const [row] = await rowsOf<{ force_release: boolean }>(this.#client, text, [name, held.token])
    return () => {
      if (row?.force_release === true) this.#history.forced(name, held.token)
    }
  }
}

const database = useDatabase()

test(`sessions and plain leases among ${WORKERS} processes for ${durationMs} ms, SEED=${seed}`, {
  timeout: durationMs + 30_000,
}, async () => {
  const history = new History()
  const workers = await Promise.all(
    Array.from(
      { length: WORKERS },
      async (_, number) =>
        new Worker(await database.connect(), `process ${number}`, seededRandom(seed + number), history),
    ),
  )
  const untilMs = performance.now() + durationMs
  await Promise.all(workers.map((worker) => worker.run(untilMs)))
  console.log(`SEED=${seed} ${JSON.stringify(history.counts)}`)
  expect(history.wrong).toEqual([])
  const { grants, renewals, ended } = history.counts
  for (const count of [grants, renewals, ended]) expect(count).toBeGreaterThan(0)
  const client = await database.connect()
  expect(await scalar(client, 'SELECT count(*)::int FROM elect.leases')).toBe(NAMES.length)
})
