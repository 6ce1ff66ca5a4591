/** What a renewal costs the server: bytes of its log, and time of a processor, by the leases that one statement keeps. */
import type pg from 'pg'
import { walPosition } from '../harness/wal.ts'
import type { ServerCpu } from './server-cpu.ts'

/** One statement that is sent again and again, with other values each time. */
export interface Beat {
  readonly text: string
  values(turn: number): unknown[]
}

export interface Cost {
  readonly statements: number
  readonly msEach: number
  /** Of the backend; not a number: it could not be seen. */
  readonly cpuMicrosEach: number
  readonly walBytesEach: number
  /** Pages that were written to the log as a whole, of all statements. */
  readonly pageImages: number
}

/** @param turns - so many statements, one after the other, from that turn on; fewer where they take longer than that */
export async function measure(
  session: pg.Client,
  cpu: ServerCpu | undefined,
  beat: Beat,
  { from, turns, withinMs }: { from: number; turns: number; withinMs: number },
): Promise<Cost> {
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  const pid = rows[0]?.pid ?? 0
  const imagesBefore = await pageImages(session)
  const walBefore = await walPosition(session)
  const cpuBefore = cpu?.backendMs(pid) ?? Number.NaN
  const startMs = performance.now()
  let sent = 0
  for (; sent < turns && (sent === 0 || performance.now() - startMs < withinMs); sent++) {
    await session.query({ name: beat.text.slice(0, 60), text: beat.text, values: beat.values(from + sent) })
  }
  const tookMs = performance.now() - startMs
  const cpuMs = (cpu?.backendMs(pid) ?? Number.NaN) - cpuBefore
  const walBytes = (await walPosition(session)) - walBefore
  return {
    statements: sent,
    msEach: tookMs / sent,
    cpuMicrosEach: (cpuMs * 1000) / sent,
    walBytesEach: walBytes / sent,
    pageImages: (await pageImages(session)) - imagesBefore,
  }
}

/** Of all updates of leases since the table is there: how many stayed on their page and touched no index. */
export async function hotPercent(session: pg.Client): Promise<number> {
  await session.query('SELECT pg_stat_force_next_flush()')
  await session.query('SELECT pg_stat_clear_snapshot()')
  const { rows } = await session.query<{ percent: number | null }>(
    `SELECT (100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0))::float8 AS percent
    FROM pg_stat_user_tables WHERE relid = 'elect.leases'::regclass`,
  )
  return rows[0]?.percent ?? Number.NaN
}

/** Of the whole server, as what else it does is little. */
export async function pageImages(session: pg.Client): Promise<number> {
  await session.query('SELECT pg_stat_force_next_flush()')
  const { rows } = await session.query<{ images: string }>({
    name: 'page images',
    text: 'SELECT wal_fpi AS images FROM pg_stat_wal',
  })
  return Number(rows[0]?.images)
}
