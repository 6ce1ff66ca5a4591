/** What a worker's process tells its parent. For the example only: an application has nobody to tell. */
export type Report =
  | { readonly kind: 'ready' }
  | { readonly kind: 'leads'; readonly token: number }
  /** Something done as the leader was refused, since it is not the leader any more. */
  | { readonly kind: 'refused'; readonly by: 'database' | 'client' }
  /** Something else went wrong, and will be tried again. */
  | { readonly kind: 'setback'; readonly message: string }

/** What a worker is started with. Not as arguments, which every user of the machine can read. */
export interface WorkerPlan {
  readonly connectionString: string
  readonly schema: string
  readonly election: string
  readonly ttlMs: number
  readonly worker: string
  readonly providerUrl: string
  readonly isGuarded: boolean
}
