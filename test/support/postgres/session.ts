import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'

/** The process id of a client's session on the server. */
export async function backendPid(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const pid = rows[0]?.pid
  if (pid === undefined) throw new Error('the server told no backend pid')
  return pid
}

/**
 * Resolves once the server shows that a session waits for a lock, so that a test need not guess how long that takes.
 *
 * @param observer - a session that is not itself waiting
 * @param pid - of the session that is expected to wait, see {@link backendPid}
 * @param timeoutMs - generous: reached only if the session never waits
 */
export async function whenBlocked(observer: pg.Client, pid: number, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await waitsForLock(observer, pid))) {
    if (performance.now() > deadline) {
      throw new Error(
        `backend ${pid} did not wait for a lock within ${timeoutMs} ms: ${await lookAt(observer, pid)}`,
      )
    }
    await delay(5)
  }
}

async function waitsForLock(observer: pg.Client, pid: number): Promise<boolean> {
  // pg_locks rather than pg_stat_activity: that one shows a frozen picture inside a transaction.
  const text = 'SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted) AS waits'
  const { rows } = await observer.query<{ waits: boolean }>(text, [pid])
  return rows[0]?.waits === true
}

async function lookAt(observer: pg.Client, pid: number): Promise<string> {
  await observer.query('SELECT pg_stat_clear_snapshot()')
  const text = 'SELECT state, wait_event_type, wait_event, query FROM pg_stat_activity WHERE pid = $1'
  const { rows } = await observer.query(text, [pid])
  return rows.length === 0 ? 'there is no such session' : JSON.stringify(rows[0])
}
