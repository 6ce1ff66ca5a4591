/**
 * Takeover by connection: a leader's lease is bound to a connection of its own, and the first in line waits, in the server, for the end
 * of that. After a crash it takes over within milliseconds rather than a TTL.
 *
 * A leader that is merely cut off may be succeeded while it still works; what it writes guarded is refused. It steps down as soon as it
 * sees that its connection is gone.
 */
import type { WaitContext } from './acquire.ts'
import { keepOpen, type LeaseRequest } from './holding.ts'
import { jittered } from './jitter.ts'
import type { Lease } from './lease.ts'
import { bindLease, getCandidacy, takeOver } from './line-queries.ts'
import { describeError } from './logger.ts'
import { releaseLease } from './queries.ts'
import type { SpareSession, SpareSessions } from './spare-sessions.ts'
import { Wakeup } from './wakeup.ts'

/** One wait in the server: it holds a snapshot, which holds up vacuum, so none is longer than a second. */
const WAIT_MS = 900
/** How often a candidate looks whether it is the first in line now. */
const LOOK_MS = 400
const SOON_MS = 20

/** What a binding needs of its client. */
export interface BindingContext extends WaitContext {
  readonly sessions: SpareSessions
}

/** The connection of one candidate, and of the leader that it becomes. */
export class Binding {
  readonly #context: BindingContext
  readonly #request: LeaseRequest
  readonly #session: SpareSession
  readonly #stopped = new AbortController()
  #lease: Lease | undefined
  #isBound = false
  /** The database may have bound it, though the answer has not come. */
  #mayBeBound = false

  /** @throws PoolerError behind a connection pooler. */
  static async open(context: BindingContext, request: LeaseRequest): Promise<Binding> {
    const session = await context.sessions.borrow("An election with takeover: 'connection'")
    return new Binding(context, request, session)
  }

  private constructor(context: BindingContext, request: LeaseRequest, session: SpareSession) {
    this.#context = context
    this.#request = request
    this.#session = session
    session.on('lost', () => {
      this.#isBound = false
      if (this.#mayBeBound) this.#lease?.lose('the connection that it was bound to was lost')
    })
  }

  /** Waits for the end of the leader's connection whenever this candidate is first in line, and calls `taken` when it has taken over. */
  async wait(taken: () => void): Promise<void> {
    const { clock, executor, random, logger } = this.#context
    const { name, timing } = this.#request
    const stopped = this.#stopped.signal
    const pause = new Wakeup(clock)
    while (!stopped.aborted) {
      let delayMs = jittered(Math.min(LOOK_MS, timing.renewIntervalMs), random)
      try {
        const { rank } = await getCandidacy(executor, this.#request, { timeoutMs: timing.queryTimeoutMs })
        // It does not stand in line yet, which is a matter of milliseconds.
        if (rank === null) delayMs = Math.min(delayMs, timing.retryIntervalMs, SOON_MS)
        if (rank === 0 && !stopped.aborted) {
          const askedMs = clock.now().monotonicMs
          const { granted, token } = await keepOpen(
            this.#context,
            takeOver(
              this.#session,
              { ...this.#request, ttlMs: timing.ttlMs, longestMs: WAIT_MS },
              { timeoutMs: WAIT_MS + timing.queryTimeoutMs },
            ),
          )
          if (granted === true && (!stopped.aborted || this.#lease?.token === token)) {
            this.#isBound = true
            this.#mayBeBound = true
            taken()
            return
          }
          if (granted === true) {
            // Too late: nobody waits for it any more.
            if (token !== null) await releaseLease(executor, { name, token })
            return
          }
          // It has waited in the server already, unless the lease is not bound yet.
          delayMs = Math.max(
            0,
            Math.min(delayMs, timing.retryIntervalMs) - (clock.now().monotonicMs - askedMs),
          )
        }
      } catch (error) {
        logger.debug({ lease: name, error: describeError(error) }, 'could not wait for the end of a leader')
      }
      await pause.wait(delayMs, stopped)
    }
  }

  /** Binds the lease that this candidate was granted, and ends with it. */
  async bind(lease: Lease): Promise<void> {
    this.#lease = lease
    this.#stopped.abort()
    lease.signal.addEventListener('abort', () => void this.#endWith(lease), { once: true })
    const { clock, logger } = this.#context
    const { name, token, timing } = lease
    const pause = new Wakeup(clock)
    while (!this.#isBound && !lease.signal.aborted) {
      try {
        // It waits for the connection of the leader before, which ends a moment after its release.
        const request = { name, token, longestMs: WAIT_MS }
        this.#mayBeBound = true
        // A wait for a takeover that is under way comes first on this connection.
        const timeoutMs = 2 * WAIT_MS + timing.queryTimeoutMs
        this.#isBound = await bindLease(this.#session, request, { timeoutMs })
        this.#mayBeBound = this.#isBound
      } catch (error) {
        logger.info(
          { lease: name, error: describeError(error) },
          'could not bind a lease to a connection, trying again',
        )
      }
      if (!this.#isBound) await pause.wait(timing.retryIntervalMs, lease.signal)
    }
  }

  /** Ends the connection, and what it holds in the server. */
  close(): void {
    this.#stopped.abort()
    this.#context.sessions.discard(this.#session)
  }

  async #endWith(lease: Lease): Promise<void> {
    const over = new Wakeup(this.#context.clock)
    lease.onEnded(over.wake)
    // Not before the lease has been given back, or has run out under work that does not stop: until then nobody is to take over.
    while (lease.remainingMs > 0 && !(await over.wait(lease.remainingMs)));
    this.close()
  }
}
