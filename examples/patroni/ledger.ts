import type { PgElect } from '../../src/index.ts'
import { PrimarySession } from './primary-session.ts'

/** A row of the table of guarded writes. */
export interface Written {
  readonly id: string
  readonly token: number
  readonly timeline: number
  /** By the clock of the server that committed it; all servers of this example share one. */
  readonly atMs: number
}

/** When a timeline was first seen by the functions of schema elect. */
export interface Epoch {
  readonly timeline: number
  readonly firstSeenAtMs: number
}

/** The table that only the leader may write to, and the settings of schema elect. */
export class Ledger implements AsyncDisposable {
  readonly #session: PrimarySession

  constructor(servers: readonly string[]) {
    this.#session = new PrimarySession(servers)
  }

  /** Installs schema elect, and makes the table. */
  async prepare(elect: PgElect, election: string, longestTtlMs: number, grace: boolean): Promise<void> {
    await elect.install()
    const client = await this.#session.get()
    await client.query(`
      CREATE TABLE writes (
        -- Guarded commits are ordered by token; so are the places that they take.
        place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id text NOT NULL UNIQUE,
        token bigint NOT NULL,
        timeline int NOT NULL DEFAULT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
      )`)
    await client.query('SELECT elect.protect_table($1, $2)', ['writes', election])
    await client.query(`SELECT elect.configure(longest_ttl => $1 * interval '1 ms', grace => $2)`, [
      longestTtlMs,
      grace,
    ])
  }

  /** The processes of the primary that send its changes to the standbys. */
  async senders(): Promise<number[]> {
    const client = await this.#session.get()
    const { rows } = await client.query<{ pid: number }>('SELECT pid FROM pg_stat_replication')
    return rows.map(({ pid }) => pid)
  }

  /** The history that is left, in the order in which it was written. */
  async written(): Promise<Written[]> {
    const client = await this.#session.get()
    const { rows } = await client.query<{ id: string; token: string; timeline: number; at_ms: number }>(
      `SELECT id, token, timeline, extract(epoch FROM at)::float8 * 1000 AS at_ms FROM writes ORDER BY place`,
    )
    return rows.map((row) => ({
      id: row.id,
      token: Number(row.token),
      timeline: row.timeline,
      atMs: row.at_ms,
    }))
  }

  async epochs(): Promise<Epoch[]> {
    const client = await this.#session.get()
    const { rows } = await client.query<{ timeline: string; at_ms: number }>(
      'SELECT timeline, extract(epoch FROM first_seen_at)::float8 * 1000 AS at_ms FROM elect.epochs ORDER BY epoch',
    )
    return rows.map((row) => ({ timeline: Number(row.timeline), firstSeenAtMs: row.at_ms }))
  }

  /** Before a fail-over, as it may take the connection with it. */
  forget(): void {
    this.#session.drop()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.drop()
  }
}
