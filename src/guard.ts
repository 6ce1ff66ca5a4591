/**
 * Guarded transactions: the database itself refuses to commit what a stale leader writes.
 *
 * The guard runs on the user's own connection and in the user's own transaction, since that is what it has to hold together. It costs
 * no round trip where the statements that begin the transaction can be sent in one, and one more where Kysely begins it.
 */
import type { CompiledQuery, Kysely, Transaction } from 'kysely'
import { fromDriver, InvalidArgumentError, LeaseLostError, RolledBackError, saysLeaseLost } from './errors.ts'
import {
  assertLease,
  beginGuarded,
  type Executor,
  type GuardRequest,
  type IsolationLevel,
} from './queries.ts'

/** Anything that runs SQL text with values on one connection: a pg `Client` or `PoolClient`, or what looks like one. */
export interface Queryable {
  // biome-ignore lint/suspicious/noExplicitAny: drivers differ in what they return besides the rows
  query(text: string, values?: any[]): Promise<{ rows: any[]; command?: string }>
}

/** A connection that is given back after use. */
export interface PooledQueryable extends Queryable {
  release(destroy?: boolean): void
}

/** Anything that lends out connections: a pg `Pool`, or what looks like one. */
export interface QueryablePool<Client extends PooledQueryable = PooledQueryable> {
  connect(): Promise<Client>
  readonly totalCount: number
}

/** How to run a guarded transaction. */
export interface TransactionOptions {
  /**
   * After a statement or a pause of that length the server ends the transaction (from PostgreSQL 17 on: after that time in all), so that
   * one that hangs does not keep the next leader out. From 100 to 86,400,000; default 60,000.
   */
  timeoutMs?: number
  /** Default: what the connection has. */
  isolationLevel?: IsolationLevel
}

/** Runs queries of this package on a user's own transaction. */
export function executorOf(db: Queryable | Kysely<never>): Executor {
  return {
    async execute<Row>(query: CompiledQuery<Row>): Promise<Row[]> {
      if (isKysely(db)) return (await db.executeQuery<Row>(query)).rows
      return (await db.query(query.sql, [...query.parameters])).rows
    },
  }
}

/** A Kysely instance, also one of another copy of the library. */
export function isKysely(db: unknown): db is Kysely<never> {
  return hasMethods(db, 'executeQuery', 'transaction')
}

/** A pool rather than one connection: both have `connect` and `query`. */
export function isPool(db: unknown): db is QueryablePool {
  return hasMethods(db, 'connect') && 'totalCount' in (db as object)
}

/**
 * Runs the work in a transaction that commits only if the lease is held.
 *
 * @throws LeaseLostError if it is not, and then nothing of the work is left; what the work threw.
 */
export async function runGuarded<T>(
  db: Kysely<never> | QueryablePool | Queryable,
  guard: GuardRequest,
  isolationLevel: IsolationLevel | undefined,
  work: (trx: never) => Promise<T> | T,
): Promise<T> {
  try {
    if (isKysely(db)) return await inKysely(db, guard, isolationLevel, work)
    if (isPool(db)) return await inPool(db, guard, isolationLevel, work)
    if (hasMethods(db, 'query')) return await inSession(db, guard, isolationLevel, work)
  } catch (error) {
    throw refusedTo(guard, error) ?? error
  }
  throw new InvalidArgumentError(
    `Invalid db: expected a Kysely instance, a pg Pool or Client, or an object with query(text, values), got ${typeof db}`,
  )
}

/** Guards a transaction that the user has begun. */
export async function guardTransaction(db: Queryable | Kysely<never>, guard: GuardRequest): Promise<void> {
  if (isPool(db) || !(isKysely(db) || hasMethods(db, 'query'))) {
    throw new InvalidArgumentError(
      'Invalid trx: expected the connection, or the Kysely transaction, on which a transaction was begun, got something else',
    )
  }
  await asked(assertLease(executorOf(db), guard), guard.name)
}

/** Errors of the guard itself are errors of this package; those of the work stay what they are. */
async function asked(answer: Promise<unknown>, name: string): Promise<void> {
  try {
    await answer
  } catch (error) {
    throw leaseLost(error, name) ?? fromDriver(error)
  }
}

/**
 * An error of the work that says that this lease, under this token, is lost. One of another lease, whose table the work may have written,
 * says nothing of this one; nor does 40001, as the guard has locked this one already.
 */
function refusedTo({ name, token }: GuardRequest, error: unknown): LeaseLostError | undefined {
  const says = error instanceof Error ? error.message : ''
  return says === `Lease ${name} is not held with token ${token}` ? leaseLost(error, name) : undefined
}

function leaseLost(error: unknown, name: string): LeaseLostError | undefined {
  if (!saysLeaseLost(error)) return undefined
  const mapped = fromDriver(error, name)
  if (mapped instanceof LeaseLostError) return mapped
  return new LeaseLostError(name, 'it was granted to somebody else since the snapshot', { cause: error })
}

function inKysely<T>(
  db: Kysely<never>,
  guard: GuardRequest,
  isolationLevel: IsolationLevel | undefined,
  work: (trx: never) => Promise<T> | T,
): Promise<T> {
  const begin = db.transaction()
  const transaction = isolationLevel === undefined ? begin : begin.setIsolationLevel(isolationLevel)
  return transaction.execute(async (trx: Transaction<never>) => {
    await asked(assertLease(executorOf(trx), guard), guard.name)
    return work(trx as never)
  })
}

async function inPool<T>(
  pool: QueryablePool,
  guard: GuardRequest,
  isolationLevel: IsolationLevel | undefined,
  work: (client: never) => Promise<T> | T,
): Promise<T> {
  let broken = false
  // The server may end the session of a guarded transaction: that bound runs out, or somebody is let in by force. A lent-out client
  // that nobody listens to would take the process down with it; what it was asked fails in any case.
  const unheard = () => {
    broken = true
  }
  const client = await lent(pool, (lentOut) => emitterOf(lentOut)?.on('error', unheard))
  try {
    return await inSession(client, guard, isolationLevel, work, () => {
      broken = true
    })
  } finally {
    emitterOf(client)?.off('error', unheard)
    client.release(broken)
  }
}

/** Borrows a connection, and has it listened to before it can say anything. */
function lent(pool: QueryablePool, listen: (client: PooledQueryable) => void): Promise<PooledQueryable> {
  // pg's own pool. Between its promise and whoever waits for it there is a turn in which the server's goodbye would go unheard.
  if (pool.connect.length > 0) {
    const connect = pool.connect.bind(pool) as unknown as (
      callback: (error: Error | undefined, client: PooledQueryable) => void,
    ) => void
    return new Promise((resolve, reject) =>
      connect((error, client) => {
        if (error) return reject(error)
        listen(client)
        resolve(client)
      }),
    )
  }
  return pool.connect().then((client) => {
    listen(client)
    return client
  })
}

function emitterOf(client: PooledQueryable): NodeJS.EventEmitter | undefined {
  return hasMethods(client, 'on', 'off') ? (client as unknown as NodeJS.EventEmitter) : undefined
}

async function inSession<T>(
  session: Queryable,
  guard: GuardRequest,
  isolationLevel: IsolationLevel | undefined,
  work: (session: never) => Promise<T> | T,
  onBroken?: () => void,
): Promise<T> {
  // BEGIN would only warn, and COMMIT would end a transaction that is not this one's.
  if (hasMethods(session, 'getTransactionStatus')) {
    const status = (session as unknown as { getTransactionStatus(): string | null }).getTransactionStatus()
    if (status === 'T' || status === 'E') {
      throw new InvalidArgumentError(
        'Invalid db: expected a connection without a transaction, got one with a transaction under way: guard that one by lease.guard()',
      )
    }
  }
  try {
    await asked(session.query(beginGuarded(guard, isolationLevel)), guard.name)
    const result = await work(session as never)
    const { command } = await session.query('COMMIT')
    if (command === 'ROLLBACK') throw new RolledBackError()
    return result
  } catch (error) {
    // If even this fails, the connection is gone, and the server rolls back by itself.
    await session.query('ROLLBACK').catch(() => onBroken?.())
    throw error
  }
}

function hasMethods(value: unknown, ...names: string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}
