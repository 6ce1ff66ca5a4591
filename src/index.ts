/** Leader election, leases and locks for apps that already run PostgreSQL. */

export type { WaitOptions } from './acquire.ts'
export type { AdvisoryLock } from './advisory-lock.ts'
export { type AcquireOptions, PgElect } from './client.ts'
export type { Clock, Instant, Timer } from './clock.ts'
export type { CampaignOptions, Election, ElectionState, Leadership, LeadershipChange } from './election.ts'
export {
  AccessDeniedError,
  AcquireTimeoutError,
  AlreadyCampaigningError,
  BusyError,
  ClosedError,
  ConnectionError,
  type ErrorCode,
  InvalidArgumentError,
  LeaseLostError,
  NoCandidateError,
  OperationFailedError,
  PgElectError,
  PoolerError,
  ResignedError,
  RolledBackError,
  SchemaMissingError,
  SchemaNewerError,
  ServerError,
  ValueMissingError,
} from './errors.ts'
export type { PooledQueryable, Queryable, QueryablePool, TransactionOptions } from './guard.ts'
export type { ConnectionOptions, TargetSession } from './hosts.ts'
export type { Lease } from './lease.ts'
export type { CandidateInfo } from './line-queries.ts'
export type { Logger } from './logger.ts'
export type { OnceOptions, Operation } from './operations.ts'
export type { ElectionOptions, LeaseOptions, PgElectOptions, Takeover } from './options.ts'
export type { Barrier } from './primitives/barrier.ts'
export type { ShareOptions } from './primitives/context.ts'
export type { DoubleBarrier, DoubleBarrierOptions } from './primitives/double-barrier.ts'
export type { FastMutex } from './primitives/fast-mutex.ts'
export type { Group, GroupChange, Member, Membership } from './primitives/group.ts'
export type { LockOptions, Mutex, MutexOptions, MutexWait } from './primitives/mutex.ts'
export type { Partitions, PartitionsOptions, PartitionWork, RunOptions } from './primitives/partitions.ts'
export type { ReadWriteLock } from './primitives/read-write-lock.ts'
export type { Register, RegisterValue, SwapOptions, WatchOptions } from './primitives/register.ts'
export type { Semaphore, SemaphoreOptions } from './primitives/semaphore.ts'
export type { IsolationLevel, LeaseInfo, Metadata } from './queries.ts'
export type { TimingOptions } from './timing.ts'
