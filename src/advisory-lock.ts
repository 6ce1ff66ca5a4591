/**
 * The fast path: a mutex that is no more than an advisory lock of the control connection's session. No row, no write, no TTL; the
 * server frees it when the session ends. It has no fencing token either: for short critical sections that may be repeated.
 */
import { ConnectionError, LeaseLostError, PoolerError } from './errors.ts'
import { advisoryUnlock, type Executor, tryAdvisoryLock } from './queries.ts'

/** What advisory locks need of a connection. */
export interface SessionConnection extends Executor {
  on(event: 'lost', listener: () => void): unknown
  /** Whether something between here and the server may give one session to several clients. */
  isPooled(): Promise<boolean>
}

/** @throws PoolerError behind a connection pooler, which may give one session to several clients. */
export async function requireOwnSession(connection: SessionConnection, what: string): Promise<void> {
  if (!(await connection.isPooled())) return
  throw new PoolerError(
    `${what} needs a session of its own, but a connection pooler is in between. Connect to the server directly, or use a lease`,
  )
}

/** A held advisory lock. */
export class AdvisoryLock implements AsyncDisposable {
  readonly name: string
  readonly #lost = new AbortController()
  readonly #unlock: (lock: AdvisoryLock) => Promise<boolean>
  #held = true

  /** @internal Made by {@link AdvisoryLocks.tryLock}. */
  constructor(name: string, unlock: (lock: AdvisoryLock) => Promise<boolean>) {
    this.name = name
    this.#unlock = unlock
  }

  /** Whether the session that has the lock is up, as far as is known here. A connection that died in silence is noticed late. */
  get isHeld(): boolean {
    return this.#held
  }

  /** Aborts when the session that has the lock is lost. */
  get signal(): AbortSignal {
    return this.#lost.signal
  }

  /** Gives the lock back. @returns false if it was lost or given back before. */
  async release(): Promise<boolean> {
    if (!this.#held) return false
    this.#held = false
    try {
      return await this.#unlock(this)
    } catch (error) {
      // The server has refused, for now: the session still has the lock.
      this.#held = true
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  /** @internal */
  lose(): void {
    if (!this.#held) return
    this.#held = false
    this.#lost.abort(new LeaseLostError(this.name, 'the connection that had its advisory lock was lost'))
  }
}

/** The advisory locks of one session. */
export class AdvisoryLocks {
  readonly #connection: SessionConnection
  /** By name, since the server lets one session lock twice, and callers of one process must exclude each other, too. */
  readonly #locks = new Map<string, AdvisoryLock | 'asked for'>()
  /** Counts the sessions: what was asked for on one that is gone says nothing of the next. */
  #session = 0

  constructor(connection: SessionConnection) {
    this.#connection = connection
    connection.on('lost', () => {
      const locks = [...this.#locks.values()]
      this.#session += 1
      this.#locks.clear()
      for (const lock of locks) if (lock !== 'asked for') lock.lose()
    })
  }

  /**
   * Takes the lock if nobody has it, here or in another process, and no lease of that name is held.
   *
   * @throws PoolerError behind a connection pooler, which may give the same session to others.
   */
  async tryLock(name: string): Promise<AdvisoryLock | null> {
    if (this.#locks.has(name)) return null
    // Reserved while the server is asked, or a second caller would be let in by the same session.
    this.#locks.set(name, 'asked for')
    const session = this.#session
    let lock: AdvisoryLock | undefined
    try {
      await requireOwnSession(this.#connection, 'An advisory lock')
      if (await tryAdvisoryLock(this.#connection, name))
        lock = new AdvisoryLock(name, () => this.#unlock(name))
    } finally {
      if (session !== this.#session) lock?.lose()
      else if (lock === undefined) this.#locks.delete(name)
      else this.#locks.set(name, lock)
    }
    return lock?.isHeld === true ? lock : null
  }

  /** Whether this process has the lock of that name, or is asking for it: the server would let its session in a second time. */
  has(name: string): boolean {
    return this.#locks.has(name)
  }

  async #unlock(name: string): Promise<boolean> {
    const session = this.#session
    try {
      const unlocked = await advisoryUnlock(this.#connection, name)
      this.#locks.delete(name)
      return unlocked
    } catch (error) {
      // The session is gone, and the lock with it: the server has freed it, or will.
      if (session !== this.#session || (error instanceof ConnectionError && !error.isReported)) return false
      throw error
    }
  }
}
