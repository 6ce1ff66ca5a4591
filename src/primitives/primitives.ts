import type { LeaseOptions } from '../options.ts'
import { Barrier } from './barrier.ts'
import type { PrimitiveContext } from './context.ts'
import { DoubleBarrier, type DoubleBarrierOptions } from './double-barrier.ts'
import { Group } from './group.ts'
import { Partitions, type PartitionsOptions } from './partitions.ts'
import { ReadWriteLock } from './read-write-lock.ts'
import { Register } from './register.ts'
import { Semaphore, type SemaphoreOptions } from './semaphore.ts'

/**
 * What a client makes beside leases and elections. Nothing is asked of the database until it is used; a name has 1 to 180 bytes unless said
 * otherwise, and is one thing: no two of these, and no lease, can have the same one. Options are those of a lease, by default the client's.
 */
export abstract class Primitives {
  /** @internal @throws ClosedError if the client is closed. */
  protected abstract usePrimitives(): PrimitiveContext

  /** Many readers or one writer. @throws InvalidArgumentError on a bad name or option. */
  readWriteLock(name: string, options: LeaseOptions = {}): ReadWriteLock {
    return new ReadWriteLock(this.usePrimitives(), name, options)
  }

  /** So many holders, and no more. @throws InvalidArgumentError on a bad name or option. */
  semaphore(name: string, options: SemaphoreOptions): Semaphore {
    return new Semaphore(this.usePrimitives(), name, options)
  }

  /** All wait until it is lowered. The name has up to 200 bytes. @throws InvalidArgumentError on a bad name. */
  barrier(name: string): Barrier {
    return new Barrier(this.usePrimitives(), name)
  }

  /** Parties that begin and end together; each call makes one of them. @throws InvalidArgumentError on a bad name or option. */
  doubleBarrier(name: string, options: DoubleBarrierOptions): DoubleBarrier {
    return new DoubleBarrier(this.usePrimitives(), name, options)
  }

  /** Who is there. @throws InvalidArgumentError on a bad name or option. */
  group(name: string, options: LeaseOptions = {}): Group {
    return new Group(this.usePrimitives(), name, options)
  }

  /** Numbered parts of work, spread over those who are there. @throws InvalidArgumentError on a bad name or option. */
  partitions(name: string, options: PartitionsOptions): Partitions {
    return new Partitions(this.usePrimitives(), name, options)
  }

  /** A value, by key of 1 to 200 bytes. @throws InvalidArgumentError on a bad key. */
  register(key: string): Register {
    return new Register(this.usePrimitives(), key)
  }
}
