import type { WaitOptions } from '../acquire.ts'
import { requireMetadata } from '../arguments.ts'
import type { Lease } from '../lease.ts'
import type { LeaseOptions } from '../options.ts'
import type { ExecuteOptions, Executor, Metadata } from '../queries.ts'
import { getShares, type ShareInfo } from '../share-queries.ts'
import { MEMBER, type PrimitiveContext, Shares } from './context.ts'
import { earliest, looks } from './looks.ts'
import { requireWatch, type WatchOptions } from './register.ts'

/** A member of a group. */
export interface Member {
  /** Unique to this membership. */
  readonly holder: string
  /** Larger than those of all who joined before. */
  readonly token: number
  readonly metadata: Metadata | null
  readonly joinedAt: Date
  /** Milliseconds until it is no member any more, unless it renews its membership. */
  readonly expiresInMs: number
}

/** Who is in a group, and what has changed since the last look. Oldest first. */
export interface GroupChange {
  readonly members: readonly Member[]
  readonly joined: readonly Member[]
  /** As they were last seen. */
  readonly left: readonly Member[]
}

/** Who is there: the live members of a group, each with what it tells the others. One that crashed is out one TTL later. */
export class Group {
  readonly name: string
  readonly #context: PrimitiveContext
  readonly #shares: Shares

  /** @internal Made by `PgElect.group`. */
  constructor(context: PrimitiveContext, name: string, options: LeaseOptions) {
    this.name = name
    this.#context = context
    this.#shares = new Shares(context, name, options)
  }

  /**
   * Becomes a member. Each call is a member of its own.
   *
   * @param metadata - shown to the others, such as an address: JSON of at most 4 KiB. Default: that of the group's options
   * @throws AcquireTimeoutError after `timeoutMs`, if the database cannot be reached; the signal's reason if it aborts; ClosedError if the
   * client closes; InvalidArgumentError on a bad argument, or if the name is that of a lease.
   */
  async join(metadata?: Metadata, options: WaitOptions = {}): Promise<Membership> {
    requireMetadata(metadata)
    return new Membership(await this.#shares.acquire(MEMBER, options, metadata))
  }

  /** Who is in it now, the oldest first. */
  async members(): Promise<Member[]> {
    return this.#read()
  }

  /**
   * The members: first those who are there, then each change, an expiry too, until the signal aborts or the client closes. A slow reader
   * gets several changes as one. After a lost connection the members are read again.
   */
  async *watch(options: WatchOptions = {}): AsyncGenerator<GroupChange, void, undefined> {
    requireWatch(options)
    const { closing } = this.#context
    let known: Map<number, Member> | undefined
    const seen = looks(this.#context, {
      name: this.name,
      timing: this.#shares.timing,
      stop: options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]),
      look: (asking, executor) => this.#read(asking, executor),
      expiresInMs: (members) => earliest(members.map(({ expiresInMs }) => expiresInMs)),
    })
    for await (const members of seen) {
      const present = new Map(members.map((member) => [member.token, member]))
      const joined = members.filter(({ token }) => known?.has(token) !== true)
      const left = [...(known?.values() ?? [])].filter(({ token }) => !present.has(token))
      const isFirst = known === undefined
      known = present
      if (isFirst || joined.length > 0 || left.length > 0) yield { members, joined, left }
    }
  }

  async #read(options?: ExecuteOptions, executor: Executor = this.#context.executor): Promise<Member[]> {
    return (await getShares(executor, this.name, options)).map(toMember)
  }
}

/** That this process is a member, kept up until it leaves. */
export class Membership implements AsyncDisposable {
  /** The lease that the membership is: to guard transactions with, or to do something once. */
  readonly lease: Lease

  /** @internal Made by `Group.join`. */
  constructor(lease: Lease) {
    this.lease = lease
  }

  /** As the others see it in {@link Member.holder}. */
  get holder(): string {
    return this.lease.holder
  }

  get token(): number {
    return this.lease.token
  }

  get metadata(): Metadata | undefined {
    return this.lease.metadata
  }

  /** Whether this process may still believe that it is a member. Computed afresh each time. */
  get isMember(): boolean {
    return this.lease.isHeld
  }

  /** Aborts when the membership is lost (LeaseLostError), or given up. */
  get signal(): AbortSignal {
    return this.lease.signal
  }

  /** Leaves the group. @returns whether the database confirmed it. If not, the membership expires by itself. */
  leave(): Promise<boolean> {
    return this.lease.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave()
  }
}

function toMember({ holder, token, metadata, acquiredAt: joinedAt, expiresInMs }: ShareInfo): Member {
  return { holder, token, metadata, joinedAt, expiresInMs }
}
