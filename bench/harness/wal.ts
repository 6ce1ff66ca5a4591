/** How far the server's write-ahead log has come, in bytes. It is one log for all databases: nothing else may run. */
import type pg from 'pg'

export async function walPosition(session: pg.Client): Promise<number> {
  const { rows } = await session.query<{ at: string }>({
    name: 'wal position',
    text: "SELECT pg_current_wal_insert_lsn() - '0/0' AS at",
  })
  return Number(rows[0]?.at)
}
