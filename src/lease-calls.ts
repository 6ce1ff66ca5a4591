/** How grants and releases are asked for: those of one moment together, and those that wait in line, or are shares, by themselves. */

import type { Clock } from './clock.ts'
import { type Answered, Coalescer } from './coalesce.ts'
import { releaseLeaseIn, releaseLeasesIn } from './kept-session-queries.ts'
import {
  type AcquireRequest,
  acquireLease,
  acquireLeases,
  type Candidacy,
  type Executor,
  releaseLease,
  releaseLeases,
} from './queries.ts'

/** A lease that is asked for once. */
type GrantRequest = Pick<AcquireRequest, 'name' | 'holder' | 'ttlMs' | 'metadata'>

/** A grant that is given back. */
interface ReleaseRequest {
  readonly name: string
  readonly token: number
}

interface LeaseCallsDependencies {
  readonly executor: Executor
  readonly clock: Clock
  /** Whether this process has the advisory lock of that name, which would let its own session in. */
  readonly isLockedHere: (name: string) => boolean
  /** The session that may keep what is given back, if there is one. */
  readonly session?: () => string | undefined
}

/** As the database answers another session while the advisory lock is held. */
export const NOBODY_KNOWN: Candidacy = {
  granted: false,
  holder: null,
  token: null,
  version: null,
  metadata: null,
  expiresInMs: null,
  lease: null,
  rank: null,
}

export class LeaseCalls {
  readonly #grants: Coalescer<GrantRequest, Candidacy>
  readonly #releases: Coalescer<ReleaseRequest, boolean>

  constructor({ executor, clock, isLockedHere, session = () => undefined }: LeaseCallsDependencies) {
    this.#releases = new Coalescer<ReleaseRequest, boolean>(
      {
        one(request, options) {
          const keptBy = session()
          return keptBy === undefined
            ? releaseLease(executor, request, options)
            : releaseLeaseIn(executor, keptBy, request, options)
        },
        async many(requests, options) {
          const keptBy = session()
          const answers =
            keptBy === undefined
              ? await releaseLeases(executor, requests, options)
              : await releaseLeasesIn(executor, keptBy, requests, options)
          return answers.map((released) => (released === null ? undefined : () => released))
        },
      },
      clock,
    )
    this.#grants = new Coalescer<GrantRequest, Candidacy>(
      {
        one: (request, options) => acquireLease(executor, { ...request, priority: undefined }, options),
        many: (requests, options) => acquireLeases(executor, requests, options),
        // Seen when it is sent, not when it was asked for.
        known: ({ name }) => (isLockedHere(name) ? NOBODY_KNOWN : undefined),
        // Whoever gives a lease back and asks for it again without waiting for the answer finds it vacant.
        beforeSending: () => this.#releases.sendNow(),
      },
      clock,
    )
  }

  /** Asks once for a lease, without a place in line. @throws as the executor does. */
  acquire(request: GrantRequest, timeoutMs: number): Promise<Answered<Candidacy>> {
    return this.#grants.ask(request, timeoutMs)
  }

  /** Gives a lease back: whether it was held. @throws as the executor does. */
  release(request: ReleaseRequest, timeoutMs: number): Promise<boolean> {
    return this.#releases.ask(request, timeoutMs).then(answerOf)
  }
}

function answerOf<Answer>({ answer }: Answered<Answer>): Answer {
  return answer
}
