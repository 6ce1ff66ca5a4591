/** What a candidate's process tells its parent. For the example only: an application has nobody to tell. */
export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'leads'; readonly token: number }
  /** The database has said that a guarded write is committed. */
  | {
      readonly kind: 'acknowledged'
      readonly id: string
      readonly token: number
      /** Timeline of the server that said so. */
      readonly timeline: number
      /** When the answer came, by the monotonic clock that all processes of a machine share. */
      readonly atMs: number
    }
  /** A write was refused, since its writer does not lead any more. */
  | { readonly kind: 'refused' }
  /** Something else went wrong: whether that write is committed is not known. */
  | { readonly kind: 'setback'; readonly message: string }

/** What a candidate is started with. Not as arguments, which every user of the machine can read. */
export interface CandidatePlan {
  readonly candidate: string
  /** Names all servers. */
  readonly connectionString: string
  /** The servers one by one, for the candidate's own writes: the driver knows one host a connection. */
  readonly servers: readonly string[]
  readonly election: string
  readonly ttlMs: number
}
