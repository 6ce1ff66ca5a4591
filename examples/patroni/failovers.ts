/** The ways in which the primary is lost, and what that meant to those who lead. */
import { setTimeout as delay } from 'node:timers/promises'
import { between, type Random, seededRandom, shuffled } from '../support/random.ts'
import { duration } from '../support/screen.ts'
import type { Cluster } from './cluster.ts'
import type { Acknowledged, History } from './history.ts'
import type { Ledger } from './ledger.ts'
import type { Node } from './node.ts'
import type { Kind } from './options.ts'
import { type StaleOutcome, StaleWriter } from './stale-writer.ts'

/** One fail-over, as it was seen from outside. */
export interface Failover {
  readonly kind: Kind
  readonly fromTimeline: number
  readonly toTimeline: number
  /** From the fault until Patroni had another primary. */
  readonly promotedMs: number
  /** Between the last guarded write before and the first one after: so long nobody was in charge. */
  readonly unledMs: number
  /** The first guarded write after it. */
  readonly next: Acknowledged
  /** The one who led before has gone on in the same term. */
  readonly isSameTerm: boolean
  /** Where the old leader insisted on writing. */
  readonly stale: StaleOutcome | undefined
}

export interface FailoversParts {
  readonly cluster: Cluster
  readonly history: History
  readonly ledger: Ledger
  readonly election: string
  readonly kinds: readonly Kind[]
  readonly seed: number
  readonly happened: (text: string) => void
  readonly told: (text: string) => void
  readonly signal: AbortSignal
}

const PATIENCE_MS = 60_000
const WRITES_BETWEEN = 50

export class Failovers {
  readonly all: Failover[] = []
  readonly #parts: FailoversParts
  readonly #random: Random
  #bag: Kind[] = []

  constructor(parts: FailoversParts) {
    this.#parts = parts
    this.#random = seededRandom(parts.seed, 'failovers')
  }

  /** Makes so many, each once the cluster is whole again. */
  async run(rounds: number): Promise<void> {
    const { cluster, history, told, signal } = this.#parts
    for (let round = 1; round <= rounds; round += 1) {
      // Each kind comes once before any comes again.
      if (this.#bag.length === 0) this.#bag = shuffled(this.#random, this.#parts.kinds)
      const kind = this.#bag.pop() ?? 'kill'
      await history.more(WRITES_BETWEEN, PATIENCE_MS, signal)
      await delay(between(this.#random, 0, 1_000), undefined, { signal })
      const failover = await this.#make(kind)
      this.all.push(failover)
      const { node } = await cluster.healed()
      told(`${node.name} has two streaming standbys again`)
    }
    await history.more(WRITES_BETWEEN, PATIENCE_MS, signal)
  }

  async #make(kind: Kind): Promise<Failover> {
    const { cluster, ledger, history, told, signal } = this.#parts
    const { node: old, timeline: fromTimeline } = await cluster.healed()
    ledger.forget()
    const lose = { switchover: this.#switchOver, kill: this.#kill, pause: this.#pause }[kind]
    const { sinceMs, back } = await lose.call(this, old)
    const { node, timeline: toTimeline } = await cluster.newPrimary(old)
    const promotedMs = performance.now() - sinceMs
    told(`${node.name} is the primary, timeline ${toTimeline}, after ${duration(promotedMs)}`)
    // Its way back begins while it is still open who leads.
    const coming = back(toTimeline)
    coming.catch(() => {})
    const next = await history.firstOn(toTimeline, PATIENCE_MS, signal)
    const last = history.acknowledged.findLast((write) => write.timeline < toTimeline) ?? next
    const unledMs = next.atMs - last.atMs
    const isSameTerm = next.token === last.token
    const term = history.ordinal(next.token)
    told(
      `${next.candidate} ${isSameTerm ? `goes on in term ${term}` : `leads, term ${term}`}; nobody was in charge for ${duration(unledMs)}`,
    )
    const stale = await coming
    return { kind, fromTimeline, toTimeline, promotedMs, unledMs, next, isSameTerm, stale }
  }

  async #switchOver(old: Node): Promise<Loss> {
    const { cluster, happened, signal } = this.#parts
    const others = cluster.nodes.filter((node) => node !== old)
    // In synchronous mode no other one may succeed.
    const chosen = cluster.isSynchronous
      ? await old.synchronousStandby()
      : others[Math.floor(this.#random() * others.length)]?.name
    if (chosen === undefined) throw new Error('there is no standby to switch over to')
    happened(`switchover: ${old.name} hands over to ${chosen}`)
    const sinceMs = performance.now()
    await old.switchOverTo(chosen, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]))
    return { sinceMs, back: async () => undefined }
  }

  /** Its last moments do not reach the standbys, as when its network goes first. */
  async #kill(old: Node): Promise<Loss> {
    const { ledger, happened, told, signal } = this.#parts
    const heldMs = between(this.#random, 100, 600)
    happened(
      `kill -9 of ${old.name}, PostgreSQL and Patroni; ${duration(heldMs)} before, its replication stops`,
    )
    await old.holdReplication(await ledger.senders())
    ledger.forget()
    try {
      await delay(heldMs, undefined, { signal })
    } finally {
      await old.kill()
    }
    const back = async () => {
      told(`${old.name} is started again`)
      old.start()
      return undefined
    }
    return { sinceMs: performance.now(), back }
  }

  async #pause(old: Node): Promise<Loss> {
    const { cluster, history, election, happened, told, signal } = this.#parts
    const leader = history.acknowledged.at(-1)
    if (leader === undefined) throw new Error('nobody has written yet')
    const stale = await StaleWriter.begin(
      cluster.serverOf(old),
      election,
      leader.token,
      `stale-${this.all.length + 1}`,
    )
    happened(`kill -STOP of ${old.name}, PostgreSQL and Patroni: it sleeps until another one is the primary`)
    const sinceMs = performance.now()
    await old.pause()
    const back = async (timeline: number) => {
      // Whoever leads by then must not be touched by what the old leader does.
      await history.firstOn(timeline, PATIENCE_MS, signal)
      const insisting = stale.insist()
      told(`kill -CONT of ${old.name}: it wakes up as the primary that it was`)
      old.resume()
      const outcome = await insisting
      const { refused, unanswered, accepted } = outcome
      told(
        `the old leader insisted there: ${refused} refused, ${unanswered} cut off, ${accepted.length} accepted on the old timeline`,
      )
      return outcome
    }
    return { sinceMs, back }
  }
}

/** The primary is lost, or about to be. */
interface Loss {
  readonly sinceMs: number
  /** Brings it back once there is another one on that timeline. */
  readonly back: (timeline: number) => Promise<StaleOutcome | undefined>
}
