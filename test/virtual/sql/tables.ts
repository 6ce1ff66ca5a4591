/** The tables of schema `elect`, in memory; moments in milliseconds of the server's clock. */

/** A row of `elect.leases`. */
export interface Lease {
  readonly name: string
  holder: string | null
  token: number
  version: number
  epoch: number
  renewedAt: number
  /** Null: it does not expire. */
  expiresAt: number | null
  ttl: number | null
  readonly partOf: string | null
}

/** A row of `elect.candidates`. */
export interface Place {
  readonly line: string
  readonly candidate: string
  priority: number
  arrival: number
  isExclusive: boolean
  ttl: number
  seenAt: number
  expiresAt: number
}

/** A row of `elect.shared_leases`. */
export interface Shared {
  readonly name: string
  capacity: number | null
  token: number
  exclusiveToken: number | null
  writtenAt: number
}

/** What a call answers: a row, a value, or the SQLSTATE of its refusal. */
export type Answer = Readonly<Record<string, unknown>>

/** A call that was refused with an error leaves nothing behind. */
export class Refusal extends Error {
  readonly sqlstate: string

  constructor(sqlstate: string) {
    super(sqlstate)
    this.sqlstate = sqlstate
  }
}

/** At most the time that was given at the last write: more would mean that the clock went back since. */
export function remaining({ expiresAt, renewedAt }: Lease, at: number): number | null {
  return expiresAt === null ? null : Math.min(expiresAt - at, expiresAt - renewedAt)
}

/** Two readings of one clock may lie that far apart without its having gone back. */
export const SLACK_MS = 1_000
