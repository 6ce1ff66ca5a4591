/**
 * What contenders asked and were told, as they themselves saw it. Unlike the history of guard/history.ts, which is the server's own order
 * of commits, this one outlives a server: calls have a moment at which they were sent and one at which they were answered, and what
 * happened, happened somewhere in between. history-checker.ts says whether that can have been right.
 */

/** Milliseconds of the machine's monotonic clock, which is the same in all its processes. */
export type Moment = number

export function moment(): Moment {
  return Number(process.hrtime.bigint()) / 1e6
}

interface Call {
  readonly lease: string
  readonly holder: string
  readonly sentAt: Moment
  readonly answeredAt: Moment
}

/** A grant that was acknowledged. A retry by the same holder may be told the same token again. */
export interface Grant extends Call {
  readonly kind: 'grant'
  readonly token: number
  /** Until when its holder trusts it, by its own deadline. */
  readonly trustedUntil: Moment
}

/** A renewal that was acknowledged. */
export interface Renewal extends Call {
  readonly kind: 'renewal'
  readonly token: number
  readonly trustedUntil: Moment
}

/** The holder's own word that it holds the lease, and until when it will trust that if nothing comes in between. */
export interface Trusting {
  readonly kind: 'trusting'
  readonly lease: string
  readonly holder: string
  readonly token: number
  readonly at: Moment
  readonly until: Moment
}

/** From here on the holder trusts it no more: it was told so, or it is about to give it back. */
export interface Ending {
  readonly kind: 'ending'
  readonly lease: string
  readonly holder: string
  readonly token: number
  readonly at: Moment
  readonly isRelease: boolean
}

/** A call that was refused, or has no known outcome: it may have happened, or may happen yet. */
export interface Unsettled extends Call {
  readonly kind: 'refused' | 'unknown'
  readonly asked: 'grant' | 'renewal' | 'release'
}

/** The commit of a guarded transaction; without an answer it is `unknown` unless its row is found later. */
export interface Write extends Call {
  readonly kind: 'write'
  readonly token: number
  readonly outcome: 'committed' | 'refused' | 'unknown'
  /** Names its row in the table. */
  readonly id: string
}

/** What a database showed of a lease. Only one that promises to have all acknowledged grants may be recorded. */
export interface Row {
  readonly kind: 'row'
  readonly lease: string
  readonly token: number | null
  readonly holder: string | null
  readonly sentAt: Moment
  readonly answeredAt: Moment
}

export type HistoryEvent = Grant | Renewal | Trusting | Ending | Unsettled | Write | Row

/** Events in any order: contenders report when they can. */
export class History {
  readonly events: HistoryEvent[] = []

  record(event: HistoryEvent): void {
    this.events.push(event)
  }

  /** Writes without an answer whose rows were found have been committed. */
  foundWrites(ids: ReadonlySet<string>): void {
    for (const [index, event] of this.events.entries()) {
      if (event.kind === 'write' && event.outcome === 'unknown' && ids.has(event.id)) {
        this.events[index] = { ...event, outcome: 'committed' }
      }
    }
  }

  /** The last events of a lease, one a line, to look at where something is wrong. */
  excerpt(lease: string, count = 40): string {
    const events = this.events.filter((event) => event.lease === lease)
    events.sort((one, other) => startOf(one) - startOf(other))
    return events
      .slice(-count)
      .map((event) => JSON.stringify(event))
      .join('\n')
  }
}

export function startOf(event: HistoryEvent): Moment {
  return 'sentAt' in event ? event.sentAt : event.at
}
