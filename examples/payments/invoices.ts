import pg from 'pg'

const CENTS_MAX = 50_000
const LEASE_NOT_HELD = 'LE001'

/** What the table says at the end. */
export interface Books {
  /** By number of the invoice, from 1 on: how often it was marked paid. */
  readonly timesPaid: ReadonlyMap<number, number>
  /** Invoices marked paid under an older token after one had been under a newer. */
  readonly staleWrites: number
}

/** The invoices, in a schema of this run's own. */
export class Invoices implements AsyncDisposable {
  readonly schema: string
  readonly count: number
  readonly #pool: pg.Pool

  private constructor(pool: pg.Pool, schema: string, count: number) {
    this.#pool = pool
    this.schema = schema
    this.count = count
  }

  static async create(connectionString: string, schema: string, count: number): Promise<Invoices> {
    const pool = new pg.Pool({ connectionString, max: 2, options: `-c search_path=${schema}` })
    pool.on('error', () => {})
    await pool.query(`
      CREATE SCHEMA ${schema};
      CREATE TABLE invoices (
        number int PRIMARY KEY,
        cents int NOT NULL,
        due_at timestamptz NOT NULL DEFAULT 'infinity',
        paid_at timestamptz,
        times_paid int NOT NULL DEFAULT 0,
        charge text,
        token bigint,
        place bigint
      );
      CREATE SEQUENCE places;
      INSERT INTO invoices (number, cents)
      SELECT n, 1 + n * 7919 % ${CENTS_MAX} FROM generate_series(1, ${count}) AS n`)
    return new Invoices(pool, schema, count)
  }

  /** From now on they fall due, one after the other, the last one after that time; and from now on only the leader may write. */
  async open(seconds: number, protectedBy: string | undefined): Promise<void> {
    await this.#pool.query(
      `UPDATE invoices SET due_at = clock_timestamp() + make_interval(secs => $1::float8 * number / $2)`,
      [seconds, this.count],
    )
    if (protectedBy === undefined) return
    await this.#pool.query('SELECT elect.protect_table($1, $2)', [`${this.schema}.invoices`, protectedBy])
  }

  async paid(): Promise<number> {
    const { rows } = await this.#pool.query<{ paid: number }>(
      'SELECT count(*)::int AS paid FROM invoices WHERE paid_at IS NOT NULL',
    )
    return rows[0]?.paid ?? 0
  }

  /**
   * Writes without a guard, as a person in psql would who has not heard of it.
   *
   * @returns whether the database refused.
   */
  async tamper(): Promise<boolean> {
    try {
      await this.#pool.query('UPDATE invoices SET cents = 0')
      return false
    } catch (error) {
      if (error instanceof pg.DatabaseError && error.code === LEASE_NOT_HELD) return true
      throw error
    }
  }

  async books(): Promise<Books> {
    const paid = await this.#pool.query<{ number: number; times_paid: number }>(
      'SELECT number, times_paid FROM invoices',
    )
    const stale = await this.#pool.query<{ count: number }>(
      `SELECT count(*)::int AS count
       FROM (SELECT token, max(token) OVER (ORDER BY place) AS newest FROM invoices WHERE place IS NOT NULL) AS writes
       WHERE token < newest`,
    )
    return {
      timesPaid: new Map(paid.rows.map((row) => [row.number, row.times_paid])),
      staleWrites: stale.rows[0]?.count ?? 0,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool
      .query(`SET client_min_messages = warning; DROP SCHEMA IF EXISTS ${this.schema} CASCADE`)
      .catch(() => {})
    await this.#pool.end()
  }
}
