import { requireWait, WAIT_KEYS, type WaitOptions, withinTime } from '../acquire.ts'
import { requireCount, requireKnownKeys } from '../arguments.ts'
import { BusyError, InvalidArgumentError } from '../errors.ts'
import type { LeaseRequest } from '../holding.ts'
import { Lease } from '../lease.ts'
import { leaveQueue } from '../line-queries.ts'
import type { LeaseOptions } from '../options.ts'
import { received } from '../request.ts'
import { enterBarrier, getShared, getShares } from '../share-queries.ts'
import { Wakeup } from '../wakeup.ts'
import { COUNT_MAX, MEMBER, type PrimitiveContext, Shares } from './context.ts'
import { earliest, looks } from './looks.ts'

/** Options of a double barrier. */
export interface DoubleBarrierOptions extends LeaseOptions {
  /** How many have to come together: the same for all of them, from 1 to 2,147,483,647. */
  parties: number
}

/**
 * Parties begin together and end together: `enter()` waits until all have come, `leave()` until all have left. One object is one party.
 * A party that crashes counts no more once its TTL is over.
 */
export class DoubleBarrier {
  readonly name: string
  readonly #context: PrimitiveContext
  readonly #shares: Shares
  readonly #parties: number
  #isIn = false
  #entered: { share: Lease; openedToken: number } | undefined

  /** @internal Made by `PgElect.doubleBarrier`. */
  constructor(context: PrimitiveContext, name: string, options: DoubleBarrierOptions) {
    this.#shares = new Shares(context, name, options, ['parties'])
    requireCount('parties', options.parties, 1, COUNT_MAX)
    this.name = name
    this.#context = context
    this.#parties = options.parties
  }

  /**
   * Waits until all parties have come.
   *
   * @returns that this party is in: kept up until {@link leave}, with a `signal` that aborts if it is lost.
   * @throws AcquireTimeoutError after `timeoutMs`, the signal's reason if it aborts, ClosedError if the client closes: this party then
   * counts no more; LeaseLostError if it could not be kept up while waiting; InvalidArgumentError on a bad option, or if this party is in.
   */
  async enter(options: WaitOptions = {}): Promise<Lease> {
    requireBarrierWait(options)
    if (this.#isIn) throw this.#refusal('enter', 'one that is out')
    this.#isIn = true
    try {
      const request = this.#shares.request(MEMBER)
      this.#entered = await withinTime(this.#context, this.name, options, (stop) =>
        this.#enter(request, stop),
      )
      return this.#entered.share
    } finally {
      this.#isIn = this.#entered !== undefined
    }
  }

  /**
   * Leaves, and waits until all who entered together have left, or are dead. Whatever comes of the wait, this party has left.
   *
   * @throws AcquireTimeoutError after `timeoutMs`, the signal's reason if it aborts, ClosedError if the client closes: another call waits
   * on; InvalidArgumentError on a bad option, or if this party is not in.
   */
  async leave(options: WaitOptions = {}): Promise<void> {
    requireBarrierWait(options)
    const entered = this.#entered
    if (entered === undefined) throw this.#refusal('leave', 'one that has entered')
    const { share, openedToken } = entered
    await share.release()
    const { name, timing } = this.#shares
    await withinTime(this.#context, name, options, async (stop) => {
      const others = looks(this.#context, {
        name,
        timing,
        stop,
        // Those with larger tokens gather for the next time.
        look: async (asking, executor) =>
          (await getShares(executor, name, asking)).filter(({ token }) => token <= openedToken),
        expiresInMs: (shares) => earliest(shares.map(({ expiresInMs }) => expiresInMs)),
      })
      for await (const shares of others) {
        if (shares.length === 0) return
      }
      throw stop.reason
    })
    if (this.#entered === entered) this.#entered = undefined
    this.#isIn = this.#entered !== undefined
  }

  async #enter(request: LeaseRequest, stop: AbortSignal): Promise<{ share: Lease; openedToken: number }> {
    const { executor, clock, pending } = this.#context
    const { name, timing } = request
    const changed = new Wakeup(clock)
    let share: Lease | undefined
    const look = async (asking: { timeoutMs?: number }) => {
      if (share === undefined) {
        share = await this.#come(request)
        share.onEnded(changed.wake)
      }
      share.assertHeld()
      return { share, openedToken: (await getShared(executor, name, asking))?.openedToken ?? 0 }
    }
    try {
      const seen = looks(this.#context, { name, timing, stop, look, expiresInMs: () => null, changed })
      for await (const entered of seen) {
        if (entered.openedToken >= entered.share.token) return entered
      }
      throw stop.reason
    } catch (error) {
      // Nobody is to count on a party that waits no more.
      const left = share?.release() ?? leaveQueue(executor, request, { timeoutMs: timing.queryTimeoutMs })
      const leaving: Promise<unknown> = Promise.resolve(left)
        .catch(() => undefined)
        .finally(() => pending.delete(leaving))
      pending.add(leaving)
      await leaving
      throw error
    }
  }

  /** Comes, or says again that it has come: an earlier answer may have been lost. */
  async #come(request: LeaseRequest): Promise<Lease> {
    const { executor, clock, pending } = this.#context
    const { holder, timing } = request
    const coming = (async () => {
      const sentAt = clock.now()
      const asked = { ...request, ttlMs: timing.ttlMs, parties: this.#parties }
      const { lease, token, expiresInMs } = await enterBarrier(executor, asked, {
        timeoutMs: timing.queryTimeoutMs,
      })
      const nothingElse = { version: null, metadata: null, rank: null }
      return received(this.#context, request, sentAt, {
        ...nothingElse,
        granted: true,
        lease,
        holder,
        token,
        expiresInMs,
      })
    })()
    pending.add(coming)
    try {
      const outcome = await coming
      if (outcome instanceof Lease) return outcome
      throw new BusyError('The answer of the barrier came too late to be trusted')
    } finally {
      pending.delete(coming)
    }
  }

  #refusal(verb: string, expected: string): InvalidArgumentError {
    const state = this.#entered !== undefined ? 'has entered' : this.#isIn ? 'is about to enter' : 'is out'
    return new InvalidArgumentError(
      `Cannot ${verb} barrier ${JSON.stringify(this.name)}: expected ${expected}, got one that ${state}`,
    )
  }
}

function requireBarrierWait(options: WaitOptions): void {
  requireKnownKeys('the options of a barrier', options, WAIT_KEYS)
  requireWait(options)
}
