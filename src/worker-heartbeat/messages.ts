/** What the main thread and the heartbeat's thread say to each other. Plain data: it is copied from one to the other. */
import type { MessagePort } from 'node:worker_threads'
import type { Instant } from '../clock.ts'
import type { ConnectionOptions } from '../hosts.ts'
import type { Logger } from '../logger.ts'
import type { LeaseAnswer } from '../queries.ts'
import type { Timing } from '../timing.ts'

/** What the thread is told. */
export type Command =
  /** Renew this lease from now on; `withinMs` as for `Heartbeat.add`, counted from `at`. */
  | {
      readonly kind: 'add'
      readonly id: number
      readonly name: string
      readonly token: number
      readonly timing: Timing
      readonly withinMs: number
      readonly at: Instant
    }
  /** Renew it no more. Answered by `removed`. */
  | { readonly kind: 'remove'; readonly id: number }
  /** The main loop answers a `ping`. */
  | { readonly kind: 'alive'; readonly at: Instant }
  /** End. */
  | { readonly kind: 'close' }

/** What has become of a lease. The main thread can read it in the middle of a turn of its event loop. */
export type News =
  | {
      readonly kind: 'extended'
      readonly id: number
      readonly sentAt: Instant
      readonly expiresInMs: number | null
    }
  | { readonly kind: 'refused'; readonly id: number; readonly answer: LeaseAnswer }
  /** The main loop was silent for too long: the lease is renewed no more. */
  | { readonly kind: 'hung'; readonly id: number }
  /** It was removed, and no renewal of it is under way: nothing more will be told of it. */
  | { readonly kind: 'removed'; readonly id: number }

/** What only the main loop can answer, or do something with. */
export type Report =
  | { readonly kind: 'ping' }
  | {
      readonly kind: 'log'
      readonly level: keyof Logger
      readonly fields: object
      readonly message: string
    }

/** What the thread starts with. */
export interface ThreadSetup {
  readonly connection: ConnectionOptions
  readonly timeoutMs: number
  readonly retryIntervalMs: number
  readonly ttlMs: number
  readonly hangTimeoutMs: number
  /** Where {@link News} go. */
  readonly news: MessagePort
}
