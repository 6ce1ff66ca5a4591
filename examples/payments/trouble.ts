import { setTimeout as delay } from 'node:timers/promises'
import type { Election, LeaseInfo } from '../../src/index.ts'
import type { Crew, Worker } from './crew.ts'
import type { Provider } from './provider.ts'
import { between, type Random, seededRandom, shuffled } from '../support/random.ts'

const KINDS = ['killed', 'stopped', 'dropped', 'held'] as const
const LOOK_MS = 40

type Kind = (typeof KINDS)[number]

/** Something bad, decided before it is known whom it will hit. */
interface Blow {
  readonly kind: Kind
  /** From the moment at which somebody leads. */
  readonly waitMs: number
  /** From the next request to the provider after that. */
  readonly offsetMs: number
  /** How long its victim is out of the world. */
  readonly lengthMs: number
}

export interface TroubleParts {
  readonly seed: number
  readonly ttlMs: number
  readonly crew: Crew
  readonly provider: Provider
  readonly election: Election
  readonly happened: (text: string) => void
  /** Is called before each blow. */
  readonly before: () => Promise<void>
  readonly signal: AbortSignal
}

/** Kills leaders, stops them past their TTL, and cuts them from the database. */
export class TroubleMaker {
  readonly counts: Record<Kind, number> = { killed: 0, stopped: 0, dropped: 0, held: 0 }
  readonly #parts: TroubleParts
  readonly #random: Random
  #bag: Kind[] = []

  constructor(parts: TroubleParts) {
    this.#parts = parts
    this.#random = seededRandom(parts.seed, 'trouble')
  }

  get blows(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count)
  }

  /** Makes trouble for that time, and resolves once the last victim is back. */
  async run(seconds: number): Promise<void> {
    const { before, crew, signal } = this.#parts
    const untilMs = performance.now() + seconds * 1_000
    const underway: Promise<void>[] = []
    let token = 0
    while (performance.now() < untilMs) {
      const blow = this.#next()
      const leader = await this.#leaderAfter(token, untilMs)
      if (leader === undefined) break
      await delay(blow.waitMs, undefined, { signal })
      await this.#nextRequest()
      await delay(blow.offsetMs, undefined, { signal })
      await before()
      const now = await this.#parts.election.leader()
      const victim = crew.named(now?.metadata?.worker)
      if (now === null || victim === undefined) continue
      token = now.token
      const striking = this.#strike(blow, victim)
      // Looked at in the end only: until then nobody else would take what it throws.
      striking.catch(() => {})
      underway.push(striking)
    }
    await Promise.all(underway)
  }

  /** Each kind comes once before any comes again: also a short run has seen them all. */
  #next(): Blow {
    const { ttlMs } = this.#parts
    if (this.#bag.length === 0) this.#bag = shuffled(this.#random, KINDS)
    return {
      kind: this.#bag.pop() ?? 'killed',
      waitMs: between(this.#random, 100, 900),
      offsetMs: between(this.#random, 0, 150),
      lengthMs: between(this.#random, 1.3 * ttlMs, 2.2 * ttlMs),
    }
  }

  async #strike({ kind, lengthMs }: Blow, victim: Worker): Promise<void> {
    const { happened, signal } = this.#parts
    const { name, pid } = victim
    const time = `${(lengthMs / 1_000).toFixed(1)} s`
    this.counts[kind] += 1
    switch (kind) {
      case 'killed':
        happened(`kill -KILL ${pid}: ${name} is gone, for ${time} until it is replaced`)
        return victim.killAndReplace(lengthMs, signal)
      case 'stopped':
        happened(`kill -STOP ${pid}: ${name} sleeps for ${time}`)
        return victim.suspend(lengthMs, signal)
      case 'dropped':
        happened(`${name} is cut off for ${time}: its connections are dropped`)
        break
      case 'held':
        happened(`${name} is cut off for ${time}: packets are held, then let go`)
    }
    victim.wire.cut(kind)
    await delay(lengthMs, undefined, { signal })
    victim.wire.letGo()
  }

  /** @returns undefined if nobody was elected in time. */
  async #leaderAfter(token: number, untilMs: number): Promise<LeaseInfo | undefined> {
    while (performance.now() < untilMs) {
      const leader = await this.#parts.election.leader()
      if (leader !== null && leader.token > token) return leader
      await delay(LOOK_MS, undefined, { signal: this.#parts.signal })
    }
    return undefined
  }

  /** Where there is nothing to charge, it strikes all the same. */
  async #nextRequest(): Promise<void> {
    const { provider, signal } = this.#parts
    await provider.nextRequest(AbortSignal.any([signal, AbortSignal.timeout(500)])).catch(() => {})
    signal.throwIfAborted()
  }
}
