/** A table full of leases, written by one statement, as if many processes had taken them. */
import type pg from 'pg'
import { Unavailable } from '../harness/scenario.ts'

/** Names of 22 bytes and holders of 24, as the client makes them. */
export const leaseName = (index: number): string => `billing/tenant-${String(index).padStart(7, '0')}`

export interface FillOptions {
  readonly count: number
  /** So many processes hold them in turns. */
  readonly holders: number
  /** Those with an even number have expired: anybody may take them. */
  readonly isHalfExpired: boolean
}

const ACCESS_DENIED = '42501'

/**
 * Leaves the table as it is some time after a vacuum and a checkpoint.
 *
 * @throws Unavailable if the role may not write the table itself, which no user may.
 */
export async function fillLeases(session: pg.Client, options: FillOptions): Promise<void> {
  try {
    await fill(session, options)
  } catch (error) {
    if ((error as { code?: string }).code !== ACCESS_DENIED) throw error
    throw new Unavailable('only a superuser can fill the table')
  }
}

async function fill(session: pg.Client, { count, holders, isHalfExpired }: FillOptions): Promise<void> {
  // Whatever else stands in a row is copied from one that the product itself has written.
  await session.query("SELECT elect.acquire_lease('pattern', 'pattern', '24 hours')")
  const { rows } = await session.query<{ column: string }>(
    `SELECT quote_ident(attname) AS column FROM pg_attribute WHERE attrelid = 'elect.leases'::regclass AND attnum > 0 AND NOT attisdropped`,
  )
  const made: Readonly<Record<string, string>> = {
    name: "'billing/tenant-' || to_char(i, 'FM0000000')",
    holder: `'worker-' || to_char(i % ${holders}, 'FM0000') || ':4711:' || substr(md5((i % ${holders})::text), 1, 8)`,
    token: 'p.token - i',
    version: 'p.version - i',
    ...(isHalfExpired && { expires_at: 'CASE WHEN i % 2 = 0 THEN clock_timestamp() ELSE p.expires_at END' }),
  }
  const columns = rows.map(({ column }) => column)
  const addKeys = await dropKeys(session)
  await session.query(
    `INSERT INTO elect.leases (${columns.join(', ')})
    SELECT ${columns.map((column) => made[column] ?? `p.${column}`).join(', ')}
    FROM generate_series(1, $1::integer) AS i, elect.leases AS p WHERE p.name = 'pattern'`,
    [count],
  )
  await session.query("DELETE FROM elect.leases WHERE name = 'pattern'")
  await addKeys()
  await session.query('VACUUM (ANALYZE) elect.leases')
  await session.query('CHECKPOINT')
}

/** An index of a whole table is built sooner than it grows. Returns what adds them again, in their order: the planner may go by it. */
async function dropKeys(session: pg.Client): Promise<() => Promise<void>> {
  const { rows } = await session.query<{ key: string; definition: string }>(
    `SELECT quote_ident(conname) AS key, pg_get_constraintdef(oid) AS definition FROM pg_constraint
    WHERE conrelid = 'elect.leases'::regclass AND contype IN ('p', 'u') ORDER BY conindid`,
  )
  for (const { key } of rows) await session.query(`ALTER TABLE elect.leases DROP CONSTRAINT ${key}`)
  return async () => {
    for (const { key, definition } of rows) {
      await session.query(`ALTER TABLE elect.leases ADD CONSTRAINT ${key} ${definition}`)
    }
  }
}

/** Bytes of the table and its indexes. */
export async function tableBytes(session: pg.Client): Promise<number> {
  const { rows } = await session.query<{ bytes: string }>(
    "SELECT pg_total_relation_size('elect.leases') AS bytes",
  )
  return Number(rows[0]?.bytes)
}
