/** The rules of epochs: after a fail-over everything that nobody renews counts as held for a while. */
import { LineRules } from './line-rules.ts'
import { SLACK_MS } from './tables.ts'

const DAY_MS = 24 * 3_600_000

/** What an expiring grant may last, from now on and in a new epoch. */
export interface Settings {
  longestTtl: number
  grace: boolean
}

export class EpochRules extends LineRules {
  settings: Settings = { longestTtl: 15_000, grace: true }
  epoch = { number: 1, firstSeenAt: Number.NEGATIVE_INFINITY }

  newEpoch(at: number): number {
    this.epoch = { number: this.epoch.number + 1, firstSeenAt: at }
    return this.epoch.number
  }

  /** The epoch in force. Where the clock has gone back, its grace begins anew. */
  protected epochAt(at: number, mayRecord = true): { number: number; firstSeenAt: number } {
    if (this.epoch.firstSeenAt <= at + SLACK_MS) return this.epoch
    const seen = { ...this.epoch, firstSeenAt: at }
    if (mayRecord) this.epoch = seen
    return seen
  }

  /** What was granted in the epoch in force is in no grace: then since when it is in force is usually not looked at. */
  protected isInForce(lease: { epoch: number } | undefined): boolean {
    return lease !== undefined && lease.epoch === this.epoch.number
  }

  /** Until when it counts as held by somebody whose grant may have been lost. */
  protected graceOf(
    lease: { ttl: number | null; epoch?: number } | undefined,
    ttl: number | null,
    at: number,
    mayRecord = true,
    alsoPast = false,
  ): number | null {
    const { number, firstSeenAt } = this.epochAt(at, mayRecord)
    if (firstSeenAt + DAY_MS <= at || number === lease?.epoch || !this.settings.grace) return null
    const until = firstSeenAt + Math.max(this.settings.longestTtl, lease?.ttl ?? 0, ttl ?? 0)
    return alsoPast || until > at ? until : null
  }
}
