import { isTransient, ResignedError } from '../errors.ts'
import { keepOpen, type LeaseRequest } from '../holding.ts'
import { jittered } from '../jitter.ts'
import type { Lease } from '../lease.ts'
import { describeError } from '../logger.ts'
import { releaseLease } from '../queries.ts'
import { askOnce } from '../request.ts'
import type { PartitionInfo } from '../share-queries.ts'
import type { PrimitiveContext } from './context.ts'
import { tellGroup } from './partition-queries.ts'
import type { PartitionWork } from './partitions.ts'

/** One partition, until its work has settled and its lease is over. */
interface Owned {
  readonly lease: Lease
  readonly over: Promise<void>
}

interface Run {
  readonly work: PartitionWork
  readonly stop: AbortSignal
  /** There is reason to look at the assignment again. */
  readonly changed: () => void
  /** Work has failed by itself. */
  readonly failed: (error: unknown) => void
}

/** A lease that changes hands, or is in use by a guarded transaction, sends no word when that is over. */
const REFUSED_RETRY_MS = 100

/** The partitions that one member has: takes them, runs their work, and gives them back. */
export class OwnedPartitions {
  readonly #context: PrimitiveContext
  readonly #request: LeaseRequest
  readonly #run: Run
  /** Work that does not settle stays here, so that it never runs beside itself. */
  readonly #owned = new Map<number, Owned>()
  #cancelRetry: (() => void) | undefined

  /** @param member - what the membership was asked with: each partition has the same holder */
  constructor(context: PrimitiveContext, member: LeaseRequest, run: Run) {
    this.#context = context
    this.#request = { ...member, share: undefined }
    this.#run = run
  }

  /** Does what the database says. Resolves once the free ones are taken; those that it gives back take their time. */
  async follow(assignment: readonly PartitionInfo[]): Promise<void> {
    const { holder, name } = this.#request
    const taking: Promise<boolean>[] = []
    for (const info of assignment) {
      const owned = this.#owned.get(info.partition)
      if (info.action === 'release') void owned?.lease.end(new ResignedError(info.lease), this.#drainMs)
      // Its own, but not known here: the answer that granted it was lost, or came too late.
      const isLeftOver = info.holder === holder && info.action === 'keep'
      if (owned === undefined && (info.action === 'acquire' || isLeftOver)) taking.push(this.#take(info))
    }
    const taken = await Promise.all(taking)
    // Who has too many may have been decided without these: all look again.
    if (taken.includes(true)) this.#tell()
    if (taken.includes(false) && !this.#run.stop.aborted) {
      this.#context.logger.debug({ lease: name }, 'a partition could not be taken yet')
      this.#retry()
    }
  }

  /** Asks all work to stop; resolves once it has settled, and all leases are given back. */
  async end(reason: unknown): Promise<void> {
    this.#cancelRetry?.()
    const all = [...this.#owned.values()]
    for (const { lease } of all) void lease.end(reason, this.#drainMs)
    await Promise.all(all.map(({ over }) => over))
  }

  get #drainMs(): number {
    return this.#context.drainTimeoutMs
  }

  async #take({ partition, lease: name, token }: PartitionInfo): Promise<boolean> {
    const { executor, logger } = this.#context
    let lease: Lease | null
    try {
      // A release of that grant may still be on its way, from when it was lost here: it must not hit the new one.
      if (token !== null) {
        await releaseLease(executor, { name, token }, { timeoutMs: this.#request.timing.queryTimeoutMs })
      }
      lease = await askOnce(this.#context, { ...this.#request, name })
    } catch (error) {
      if (!isTransient(error)) this.#run.failed(error)
      logger.info({ lease: name, error: describeError(error) }, 'could not ask for a partition')
      return false
    }
    if (lease === null) return false
    this.#owned.set(partition, { lease, over: this.#serve(partition, lease) })
    return true
  }

  async #serve(partition: number, lease: Lease): Promise<void> {
    const { work, changed, failed, stop } = this.#run
    const settled = lease
      .run(() => work(partition, lease))
      .catch((error: unknown) => {
        if (!lease.signal.aborted && !stop.aborted) failed(error)
      })
    if (!lease.signal.aborted) {
      await new Promise((resolve) => lease.signal.addEventListener('abort', resolve, { once: true }))
    }
    const isReleased = await lease.end(lease.signal.reason, this.#drainMs)
    if (isReleased) this.#tell()
    await settled
    this.#owned.delete(partition)
    changed()
  }

  /** Nobody need wait for it: whoever hears nothing looks when the lease would have run out. */
  #tell(): void {
    const { name, timing } = this.#request
    const telling = tellGroup(this.#context.executor, name, { timeoutMs: timing.queryTimeoutMs })
    keepOpen(this.#context, telling).catch(() => undefined)
  }

  #retry(): void {
    const { clock, random } = this.#context
    this.#cancelRetry?.()
    const timer = clock.setTimer(this.#run.changed, jittered(REFUSED_RETRY_MS, random, 0.5))
    this.#cancelRetry = () => timer.cancel()
  }
}
