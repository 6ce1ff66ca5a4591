import { requireWait, WAIT_KEYS, type WaitOptions, withinTime } from '../acquire.ts'
import { AdvisoryLock } from '../advisory-lock.ts'
import { requireFunction, requireKnownKeys } from '../arguments.ts'
import { isTransient } from '../errors.ts'
import { keepOpen } from '../holding.ts'
import { jittered } from '../jitter.ts'
import { advisoryLock } from '../line-queries.ts'
import { advisoryUnlock, tryAdvisoryLock } from '../queries.ts'
import type { SpareSession } from '../spare-sessions.ts'
import type { BindingContext } from '../takeover.ts'
import { Wakeup } from '../wakeup.ts'
import { unlessStopped } from './stopped.ts'

/** One wait in the server holds a snapshot, which holds up vacuum: none is longer than a second. */
const WAIT_MS = 900
const ANSWER_MS = 5000
const RETRY_MS = 100
const WHAT = 'A fast mutex'

/**
 * A mutex that is the server's advisory lock and nothing else: first come, first served, nothing is written, free as soon as its
 * holder's connection ends. It has no token, so what it protects must bear that a holder which was cut off goes on for a moment.
 *
 * Each lock that is held or waited for has a connection of its own. It excludes leases of the same name.
 */
export class FastMutex {
  readonly name: string
  readonly #context: BindingContext

  /** @internal Made by `PgElect.fastMutex`. */
  constructor(context: BindingContext, name: string) {
    this.name = name
    this.#context = context
  }

  /**
   * Waits for the mutex. Keep to `await using`, or call `release()`.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; PoolerError behind a connection pooler;
   * InvalidArgumentError on a bad option.
   */
  async lock(options: WaitOptions = {}): Promise<AdvisoryLock> {
    requireKnownKeys('the options of a lock', options, WAIT_KEYS)
    requireWait(options)
    return withinTime(this.#context, this.name, options, async (signal) => {
      signal.throwIfAborted()
      return unlessStopped(keepOpen(this.#context, this.#wait(signal)), signal)
    })
  }

  /** Takes the mutex if it is free; null otherwise. */
  async tryLock(): Promise<AdvisoryLock | null> {
    this.#context.closing.throwIfAborted()
    const session = await this.#context.sessions.borrow(WHAT)
    try {
      if (await tryAdvisoryLock(session, this.name)) return this.#held(session)
    } catch (error) {
      this.#context.sessions.discard(session)
      throw error
    }
    this.#context.sessions.giveBack(session)
    return null
  }

  /**
   * Waits for the mutex, runs the work, and gives the mutex back. `work` must stop when `lock.signal` aborts.
   *
   * @returns what the work returned. @throws what the work threw; and as {@link lock}.
   */
  async withLock<T>(work: (lock: AdvisoryLock) => T | Promise<T>, options: WaitOptions = {}): Promise<T> {
    requireFunction('work', work)
    const lock = await this.lock(options)
    try {
      return await work(lock)
    } finally {
      await lock.release()
    }
  }

  /** Undefined if the signal aborted. */
  async #wait(signal: AbortSignal): Promise<AdvisoryLock | undefined> {
    const { clock, random, sessions } = this.#context
    const pause = new Wakeup(clock)
    let session: SpareSession | undefined
    while (!signal.aborted) {
      const askedMs = clock.now().monotonicMs
      try {
        session ??= await sessions.borrow(WHAT)
        const request = { name: this.name, longestMs: WAIT_MS }
        if (await advisoryLock(session, request, { timeoutMs: WAIT_MS + ANSWER_MS })) {
          const lock = this.#held(session)
          if (!signal.aborted) return lock
          await lock.release()
          return undefined
        }
      } catch (error) {
        // Nobody knows what it holds in the server.
        if (session !== undefined) sessions.discard(session)
        session = undefined
        if (!isTransient(error)) throw error
      }
      // Refused before the time was over: a lease of that name is held, or the connection was lost.
      const isEarly = clock.now().monotonicMs - askedMs < WAIT_MS / 2
      if (isEarly) await pause.wait(jittered(RETRY_MS, random, 0.5), signal)
    }
    if (session !== undefined) sessions.giveBack(session)
    return undefined
  }

  #held(session: SpareSession): AdvisoryLock {
    const { sessions } = this.#context
    const lost = () => {
      lock.lose()
      sessions.discard(session)
    }
    const lock = new AdvisoryLock(this.name, async () => {
      session.off('lost', lost)
      try {
        const unlocked = await advisoryUnlock(session, this.name)
        sessions.giveBack(session)
        return unlocked
      } catch {
        // With the connection the lock ends, too.
        sessions.discard(session)
        return false
      }
    })
    session.on('lost', lost)
    return lock
  }
}
