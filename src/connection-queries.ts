/** What is asked of a connection itself, rather than of a lease: one function each, as in `queries.ts`. */
import { type CompiledQuery, sql } from 'kysely'
import { type ExecuteOptions, type Executor, interval, only, run } from './sql-call.ts'

/** Where a session is. */
export interface ServerState {
  /** The process that serves this session, by the server's own word. */
  readonly backend: number
  /** For how long that process has been there, in milliseconds. */
  readonly ageMs: number
  /** It is a standby. */
  readonly isInRecovery: boolean
  /** Nothing can be written in this session. */
  readonly isReadOnly: boolean
}

/** No call of schema `elect`: it has to be answered before the schema is installed, too. */
export async function serverState(executor: Executor): Promise<ServerState> {
  const row = await only(
    run(
      executor,
      sql<{
        backend: number
        age_ms: number | null
        in_recovery: boolean
        read_only: boolean
      }>`SELECT a.pid AS backend, (extract(epoch FROM clock_timestamp() - a.backend_start) * 1000)::float8 AS age_ms, pg_is_in_recovery() AS in_recovery, current_setting('transaction_read_only')::boolean AS read_only FROM pg_stat_get_activity(pg_backend_pid()) AS a`,
    ),
  )
  const { backend, age_ms, in_recovery: isInRecovery, read_only: isReadOnly } = row
  return { backend, ageMs: age_ms ?? 0, isInRecovery, isReadOnly }
}

/** `elect.settle_connection`: false if a connection pooler is in between, and then nothing was set. */
export async function settleConnection(
  executor: Executor,
  connection: { backend: number; deadAfterMs: number },
): Promise<boolean> {
  const call = sql<{
    settled: boolean
  }>`SELECT elect.settle_connection(backend => ${connection.backend}::integer, dead_after => ${interval(connection.deadAfterMs)}) AS settled`
  return (await only(run(executor, call))).settled
}

/** `elect.get_channels`: what this session listens to. */
export async function getChannels(executor: Executor, options?: ExecuteOptions): Promise<string[]> {
  const call = sql<{ channel: string }>`SELECT channel FROM elect.get_channels()`
  return (await run(executor, call, options)).map(({ channel }) => channel)
}

/**
 * Asks something and, in the same statement, `elect.get_channels`.
 *
 * @param query - a `SELECT`; it need not return a row
 */
export async function withChannels<Row>(
  executor: Executor,
  query: CompiledQuery<Row>,
  options?: ExecuteOptions,
): Promise<{ rows: Row[]; channels: string[] }> {
  // Its parameters keep their places, as the text around it has none.
  const text = `SELECT listened.channels, looked.* FROM (SELECT jsonb_agg(channel) AS channels FROM elect.get_channels()) AS listened LEFT JOIN (SELECT true AS is_row, asked.* FROM (${query.sql}) AS asked) AS looked ON true`
  const both = { ...query, sql: text } as CompiledQuery<
    Row & { channels: string[] | null; is_row: boolean | null }
  >
  const rows = await executor.execute(both, options)
  return { rows: rows.filter((row) => row.is_row === true), channels: rows[0]?.channels ?? [] }
}
