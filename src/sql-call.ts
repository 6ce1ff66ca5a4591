/** How a call of a SQL function is written and run: what the query modules have in common. */
import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type RawBuilder,
  sql,
} from 'kysely'

/** Whatever can run a compiled query: the control connection, or a user's own transaction. */
export interface Executor {
  execute<Row>(query: CompiledQuery<Row>, options?: ExecuteOptions): Promise<Row[]>
}

/** How to run one query. */
export interface ExecuteOptions {
  /** How long it may stay unanswered. */
  timeoutMs?: number
}

/** 64-bit numbers come as text from the driver; tokens and versions fit the 53 bits of a JavaScript number. */
export type Int8 = string | number

// Only compiles: it never connects. The executor decides where a query runs.
const compiler = new Kysely<unknown>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

// As numbers: the text forms of intervals and moments follow the session's settings.
export const expiresInMs = sql<
  number | null
>`(extract(epoch FROM expires_in) * 1000)::float8 AS expires_in_ms`

export function run<Row>(
  executor: Executor,
  call: RawBuilder<Row>,
  options?: ExecuteOptions,
): Promise<Row[]> {
  return executor.execute(call.compile(compiler), options)
}

export async function only<Row>(rows: Promise<Row[]>): Promise<Row> {
  const [row] = await rows
  if (row === undefined) throw new TypeError('expected one row, got none')
  return row
}

export function interval(ttlMs: number | null | undefined): RawBuilder<unknown> {
  return sql`${ttlMs == null ? null : `${ttlMs} milliseconds`}::interval`
}

export function integer(value: Int8 | null): number | null {
  if (value === null) return null
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new RangeError(`expected a safe integer, got ${value}`)
  return number
}
