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

/**
 * A call that is made very often: its text is compiled once, as only what is passed differs.
 *
 * @param write - writes the call; its arguments stand for those that are passed each time
 */
export function fixed<Row, Values extends readonly unknown[]>(
  write: (...standIns: { [Place in keyof Values]: StandIn }) => RawBuilder<Row>,
): (executor: Executor, options: ExecuteOptions | undefined, ...values: Values) => Promise<Row[]> {
  let compiled: CompiledQuery<Row> | undefined
  let places: readonly number[] = []
  return (executor, options, ...values) => {
    if (compiled === undefined) {
      const standIns = values.map((_, place): StandIn => ({ place }))
      compiled = write(...(standIns as { [Place in keyof Values]: StandIn })).compile(compiler)
      places = compiled.parameters.map((parameter) => (parameter as StandIn).place)
    }
    const parameters = places.map((place) => values[place])
    const { query, queryId, sql } = compiled
    return executor.execute({ query, queryId, sql, parameters }, options)
  }
}

/** Stands in the text of a {@link fixed} call for the value of that place. */
interface StandIn {
  readonly place: number
}

export async function only<Row>(rows: Promise<Row[]>): Promise<Row> {
  return first(await rows)
}

export function first<Row>([row]: Row[]): Row {
  if (row === undefined) throw new TypeError('expected one row, got none')
  return row
}

export function interval(ttlMs: number | null | undefined): RawBuilder<unknown> {
  return sql`${ttlMs == null ? null : intervalText(ttlMs)}::interval`
}

export function intervalText(ttlMs: number): string {
  return `${ttlMs} milliseconds`
}

export function integer(value: Int8 | null): number | null {
  if (value === null) return null
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new RangeError(`expected a safe integer, got ${value}`)
  return number
}
