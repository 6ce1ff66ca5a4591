/**
 * A fence of its own behind the guard: each guarded write also tells its token to a row that remembers the largest one. A write that
 * comes after one of a larger token is stale, whatever the guard has said.
 */
import pg from 'pg'

/** What a fence has seen under one name. */
export interface Fenced {
  readonly writes: number
  readonly stale: number
}

const WRITE = `INSERT INTO fence AS f (name, token) VALUES ($1, $2)
  ON CONFLICT (name) DO UPDATE SET writes = f.writes + 1, stale = f.stale + (f.token > excluded.token)::integer,
    token = greatest(f.token, excluded.token)`

/** Writers of one name wait for each other at its row. A guard must bound that, as it holds up the next leader. */
const GUARD = `SELECT elect.assert_lease($1, $2, '1 second')`

/** A session, or a pool of them. */
export interface Asker {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<Row>>
}

export async function createFence(session: Asker): Promise<void> {
  await session.query(`CREATE TABLE fence (
    name text PRIMARY KEY, token bigint NOT NULL, writes integer NOT NULL DEFAULT 1, stale integer NOT NULL DEFAULT 0)`)
}

export async function fenceOf(session: Asker, name: string): Promise<Fenced> {
  const { rows } = await session.query<Fenced>('SELECT writes, stale FROM fence WHERE name = $1', [name])
  return rows[0] ?? { writes: 0, stale: 0 }
}

/** To be called in a transaction that is guarded already. */
export async function writeFenced(
  session: { query(text: string, values: unknown[]): Promise<unknown> },
  name: string,
  token: number,
): Promise<void> {
  await session.query(WRITE, [name, token])
}

/**
 * One write under the guard alone, without a look at the deadline of the client.
 *
 * @returns false if the guard has refused it
 */
export async function writeGuarded(session: pg.Client, name: string, token: number): Promise<boolean> {
  await session.query('BEGIN')
  try {
    await session.query(GUARD, [name, token])
    await writeFenced(session, name, token)
    await session.query('COMMIT')
    return true
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    await session.query('ROLLBACK')
    // 55P03: the lease is changing hands.
    if (error.code === 'LE001' || error.code === '55P03') return false
    throw error
  }
}
