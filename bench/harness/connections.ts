import type pg from 'pg'
import { Unavailable } from './scenario.ts'

/** For those who send, and for administrators. */
const SPARE_CONNECTIONS = 20

/** @throws Unavailable if the server, which may be the user's own, does not take so many more sessions. */
export async function requireConnections(session: pg.Client, count: number): Promise<void> {
  const { rows } = await session.query<{ free: number }>(
    `SELECT current_setting('max_connections')::integer - count(*)::integer AS free
    FROM pg_stat_activity WHERE backend_type = 'client backend'`,
  )
  const wanted = count + SPARE_CONNECTIONS
  if ((rows[0]?.free ?? 0) < wanted) {
    throw new Unavailable(`the server does not take ${wanted} more connections (max_connections)`)
  }
}
