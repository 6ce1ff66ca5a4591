import type { Lease } from '../lease.ts'
import type { LeaseOptions } from '../options.ts'
import { MEMBER, type PrimitiveContext, type ShareOptions, Shares } from './context.ts'

const WRITER = { isExclusive: true, capacity: null }

/**
 * A lock that many readers, or one writer, have at once. Who waits is served in order: a writer that waits keeps later readers out, so
 * that it does not wait for ever. Tokens grow from grant to grant, of readers and writers alike.
 */
export class ReadWriteLock {
  readonly name: string
  readonly #shares: Shares

  /** @internal Made by `PgElect.readWriteLock`. */
  constructor(context: PrimitiveContext, name: string, options: LeaseOptions) {
    this.name = name
    this.#shares = new Shares(context, name, options)
  }

  /**
   * Waits until nobody writes, and reads. Keep to `await using`, or call `release()`.
   *
   * @throws AcquireTimeoutError after `timeoutMs`; the signal's reason if it aborts; ClosedError if the client closes;
   * InvalidArgumentError on a bad option, or if the name is that of a lease.
   */
  read(options: ShareOptions = {}): Promise<Lease> {
    return this.#shares.acquire(MEMBER, options)
  }

  /** Waits until nobody reads or writes, and writes. A reader that waits for itself to become a writer waits for ever. @throws as {@link read}. */
  write(options: ShareOptions = {}): Promise<Lease> {
    return this.#shares.acquire(WRITER, options)
  }

  /** Reads if nobody writes or waits. Null otherwise. */
  tryRead(): Promise<Lease | null> {
    return this.#shares.tryAcquire(MEMBER)
  }

  /** Writes if nobody reads, writes or waits. Null otherwise. */
  tryWrite(): Promise<Lease | null> {
    return this.#shares.tryAcquire(WRITER)
  }
}
