/** What a leader that is to be paused tells its parent. Moments are of the clock that all processes of a machine share. */
export interface PausedReport {
  /** It leads. */
  readonly leads?: { readonly token: number }
  /** Its signal has aborted. */
  readonly stopped?: {
    readonly token: number
    readonly atMs: number
    /** When `isHeld` was last seen to be true: the moment just before it was asked. */
    readonly heldAtMs: number
    readonly isHeld: boolean
  }
  /** What it had seen until it was asked to say so. */
  readonly told?: { readonly heldAtMs: number; readonly looks: number; readonly writes: number }
  readonly failed?: string
}

/** What the parent says: campaign, or tell what you have seen. */
export interface PausedCommand {
  readonly lead?: {
    readonly name: string
    /** Whether to ask `isHeld` at the beginning of each turn; else only the timer sees the deadline. */
    readonly looks: boolean
  }
  readonly tell?: true
}

/** The monotonic clock of the machine, in milliseconds. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
