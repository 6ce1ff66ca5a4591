/**
 * Connections for what blocks one while it waits or holds, such as the server's own lock queue: the control connection must never be
 * held up. A connection is reused, since whoever locks once will lock again.
 */
import { requireOwnSession, type SessionConnection } from './advisory-lock.ts'
import { ClosedError } from './errors.ts'

/** A connection that one waiter or holder has to itself. */
export interface SpareSession extends SessionConnection {
  off(event: 'lost', listener: () => void): unknown
  close(): Promise<void>
}

/** Idle connections beyond this many are closed. */
const IDLE_MAX = 4

export class SpareSessions {
  readonly #open: () => SpareSession
  readonly #idle: SpareSession[] = []
  readonly #all = new Set<SpareSession>()
  #closed = false

  constructor(open: () => SpareSession) {
    this.#open = open
  }

  /**
   * A connection that nobody else uses until it is given back.
   *
   * @param what - what needs it, for the error
   * @throws PoolerError behind a connection pooler.
   */
  async borrow(what: string): Promise<SpareSession> {
    if (this.#closed) throw new ClosedError()
    // An idle one, too: it may have lost its session, and got another one elsewhere.
    const session = this.#idle.pop() ?? this.#open()
    this.#all.add(session)
    try {
      await requireOwnSession(session, what)
    } catch (error) {
      this.discard(session)
      throw error
    }
    return session
  }

  /** Gives back a connection that holds nothing any more. */
  giveBack(session: SpareSession): void {
    if (this.#closed || this.#idle.length >= IDLE_MAX) this.discard(session)
    else this.#idle.push(session)
  }

  /** Ends a connection, and with it all that it holds. */
  discard(session: SpareSession): void {
    this.#all.delete(session)
    session.close().catch(() => undefined)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#all].map((session) => session.close()))
  }
}
