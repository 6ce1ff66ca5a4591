import { acquireWithin } from '../acquire.ts'
import {
  requireCount,
  requireFunction,
  requireKnownKeys,
  requireMetadata,
  requireSignal,
} from '../arguments.ts'
import type { Lease } from '../lease.ts'
import type { LeaseOptions } from '../options.ts'
import type { ExecuteOptions, Metadata } from '../queries.ts'
import { getAssignment, getShares } from '../share-queries.ts'
import { Wakeup } from '../wakeup.ts'
import { MEMBER, type PrimitiveContext, Shares } from './context.ts'
import { earliest, looks } from './looks.ts'
import { OwnedPartitions } from './owned-partitions.ts'

/** Options of partitions. */
export interface PartitionsOptions extends LeaseOptions {
  /** How many partitions there are: the same for all members, from 1 to 100,000. */
  count: number
}

/** Options of {@link Partitions.run}. */
export interface RunOptions {
  /** Ends it: all partitions are given back once their work has settled. */
  signal?: AbortSignal
  /** Shown to the others, with the membership and with each partition: JSON of at most 4 KiB. Default: that of the partitions' options. */
  metadata?: Metadata
}

/** The work of one partition; it must stop when `lease.signal` aborts. */
export type PartitionWork = (partition: number, lease: Lease) => void | Promise<void>

/** Each look reads all of them. */
const PARTITIONS_MAX = 100_000

/**
 * Work in numbered parts, from 0 on, spread evenly over the live members of a group, with as few moves as possible. Each part is a lease,
 * so none ever has two owners; which member should have which is for the database to say (`elect.get_assignment`).
 */
export class Partitions {
  /** Also the name of the group that the members form. */
  readonly name: string
  readonly count: number
  readonly #context: PrimitiveContext
  readonly #shares: Shares

  /** @internal Made by `PgElect.partitions`. */
  constructor(context: PrimitiveContext, name: string, options: PartitionsOptions) {
    this.#shares = new Shares(context, name, options, ['count'])
    requireCount('count', options.count, 1, PARTITIONS_MAX)
    this.name = name
    this.count = options.count
    this.#context = context
  }

  /**
   * Joins the group and runs the work of each partition that this member is assigned, while its lease is held. Where a partition moves to
   * another member, `lease.signal` aborts, and the lease is given back once the work has settled. Work that returns by itself keeps its
   * partition; it is run again only after the partition has been away.
   *
   * @returns never: it goes on until it is stopped, and ends once all work has settled.
   * @throws the signal's reason if it aborts; ClosedError if the client closes; what the work of a partition threw by itself, after which
   * this member leaves; InvalidArgumentError on a bad argument, or if the name is that of a lease.
   */
  async run(work: PartitionWork, options: RunOptions = {}): Promise<never> {
    requireFunction('work', work)
    requireKnownKeys('the options of a run', options, ['signal', 'metadata'])
    requireSignal(options.signal)
    requireMetadata(options.metadata)
    const { executor, clock, closing } = this.#context
    const { name, timing } = this.#shares
    const request = this.#shares.request(MEMBER, options.metadata)
    const failing = new AbortController()
    const stops = options.signal === undefined ? [closing] : [closing, options.signal]
    const stop = AbortSignal.any([...stops, failing.signal])
    const changed = new Wakeup(clock)
    const owned = new OwnedPartitions(this.#context, request, {
      work,
      stop,
      changed: changed.wake,
      failed: (error) => failing.abort(error),
    })
    let membership: Lease | undefined
    const look = async (asking: ExecuteOptions) => {
      if (membership?.isHeld !== true) {
        // Under the same name: what it still has stays its own.
        membership = await acquireWithin(this.#context, request, { signal: stop })
        membership.onEnded(changed.wake)
      }
      const [members, partitions] = await Promise.all([
        getShares(executor, name, asking),
        getAssignment(executor, { name, partitions: this.count, member: request.holder }, asking),
      ])
      // Who renews here needs no watching.
      const others = [...members, ...partitions].filter(({ holder }) => holder !== request.holder)
      return { partitions, expiresInMs: earliest(others.map(({ expiresInMs }) => expiresInMs)) }
    }
    try {
      const expiresInMs = (seen: Awaited<ReturnType<typeof look>>) => seen.expiresInMs
      for await (const { partitions } of looks(this.#context, {
        name,
        timing,
        look,
        expiresInMs,
        stop,
        changed,
      })) {
        await owned.follow(partitions)
      }
      throw stop.reason
    } catch (error) {
      // Out of the group at once, so that the others take over each partition as it comes free.
      await Promise.all([membership?.release(), owned.end(error)])
      throw error
    }
  }
}
