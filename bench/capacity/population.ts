/** A table as a fleet leaves it: so many processes hold so many leases each, plain ones, or all of a process by its session. */
import { randomUUID } from 'node:crypto'
import type pg from 'pg'

export interface PopulationOptions {
  readonly processes: number
  /** Of each. */
  readonly leases: number
  readonly isBySession: boolean
  readonly ttlMs: number
  /** For how long they are held from now on, if nobody renews them. */
  readonly heldForMs: number
}

/** Processes and their leases are numbered from 0 on. */
export interface Population {
  name(process: number, lease: number): string
  token(process: number, lease: number): number
  session(process: number): string
  holder(process: number): string
}

const ACCESS_DENIED = '42501'

/**
 * Written by three statements, as a superuser. The leases of a process lie here and there in the table, as processes come to have them that
 * take one after the other. What stands in a row is copied from one that the product itself has written.
 *
 * @throws TypeError if the role may not do that
 */
export async function populate(session: pg.Client, options: PopulationOptions): Promise<Population> {
  try {
    return await fill(session, options)
  } catch (error) {
    if ((error as { code?: string }).code !== ACCESS_DENIED) throw error
    throw new TypeError(
      'Invalid DATABASE_URL: expected a superuser, as the tables are filled directly, got a role that may not write them',
    )
  }
}

async function fill(session: pg.Client, options: PopulationOptions): Promise<Population> {
  const { processes, leases, isBySession, ttlMs, heldForMs } = options
  const heldUntil = `clock_timestamp() + ${heldForMs} * interval '1 millisecond'`
  const ttl = `${ttlMs} * interval '1 millisecond'`
  const sessions = isBySession ? Array.from({ length: processes }, () => randomUUID()) : []
  const holder = (process: string) =>
    `'worker-' || to_char(${process}, 'FM00000') || ':4711:' || substr(md5((${process})::text), 1, 8)`

  const { rows: opened } = await session.query<{ id: string }>(
    `SELECT elect.open_session('pattern', ${ttl}) AS id`,
  )
  const pattern = opened[0]?.id
  const { rows: granted } = await session.query<{ token: string }>(
    `SELECT token FROM elect.acquire_lease('pattern', 'pattern', ${ttl}, session => $1)`,
    [isBySession ? pattern : null],
  )
  const token = Number(granted[0]?.token)
  await copy(
    session,
    'elect.sessions',
    { session: 's.id', holder: holder('s.i - 1'), expires_at: heldUntil },
    `elect.sessions AS p, unnest($1::uuid[]) WITH ORDINALITY AS s (id, i) WHERE p.session = '${pattern}'`,
    [sessions],
  )
  await copy(
    session,
    'elect.leases',
    {
      name: "'billing/tenant-' || to_char(i, 'FM0000000')",
      holder: holder(`i % ${processes}`),
      token: 'p.token - 1 - i',
      version: 'p.version - 1 - i',
      ...(isBySession
        ? { session: `($1::uuid[])[i % ${processes} + 1]` }
        : { expires_at: `(${heldUntil}) + 0 * cardinality($1::uuid[]) * interval '1 second'` }),
    },
    `generate_series(0, ${processes * leases - 1}) AS i, elect.leases AS p WHERE p.name = 'pattern'`,
    [sessions],
  )
  await session.query("DELETE FROM elect.leases WHERE name = 'pattern'")
  await session.query('DELETE FROM elect.sessions WHERE session = $1', [pattern])
  await session.query('VACUUM (ANALYZE) elect.leases, elect.sessions')
  await session.query('CHECKPOINT')

  const index = (process: number, lease: number) => lease * processes + process
  return {
    name: (process, lease) => `billing/tenant-${String(index(process, lease)).padStart(7, '0')}`,
    token: (process, lease) => token - 1 - index(process, lease),
    session: (process) => sessions[process] ?? '',
    holder: (process) => `worker-${process}`,
  }
}

async function copy(
  session: pg.Client,
  table: string,
  made: Readonly<Record<string, string>>,
  source: string,
  values: unknown[],
): Promise<void> {
  const { rows } = await session.query<{ column: string }>(
    'SELECT quote_ident(attname) AS column FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped',
    [table],
  )
  const columns = rows.map(({ column }) => column)
  await session.query(
    `INSERT INTO ${table} (${columns.join(', ')}) SELECT ${columns.map((column) => made[column] ?? `p.${column}`).join(', ')} FROM ${source}`,
    values,
  )
}
