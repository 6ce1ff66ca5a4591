/**
 * What River's elector asks of PostgreSQL (https://github.com/riverqueue/river, internal/leadership): one row of an unlogged table. Not
 * durable by design: after a crash there is no leader.
 */
import type pg from 'pg'
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'

/** River's default: an interval of 5 s between elections, and 10 s more. */
export const RIVER_TTL_MS = 15_000

export async function createRiverTable(session: pg.Client): Promise<void> {
  await session.query(
    'CREATE UNLOGGED TABLE IF NOT EXISTS river_like (name text PRIMARY KEY, leader text NOT NULL, elected timestamptz NOT NULL, expires timestamptz NOT NULL)',
  )
}

/** Whether it was elected: nobody is, or was for longer than the TTL. */
export async function electInRiver(
  session: pg.Client,
  name: string,
  leader: string,
  ttlMs = RIVER_TTL_MS,
): Promise<boolean> {
  await session.query({
    name: 'expire',
    text: 'DELETE FROM river_like WHERE name = $1 AND expires < now()',
    values: [name],
  })
  const { rowCount } = await session.query({
    name: 'elect',
    text: "INSERT INTO river_like VALUES ($1, $2, now(), now() + $3 * interval '1 millisecond') ON CONFLICT (name) DO NOTHING",
    values: [name, leader, ttlMs],
  })
  return rowCount === 1
}

export async function reelectInRiver(
  session: pg.Client,
  name: string,
  leader: string,
  ttlMs: number,
): Promise<void> {
  await session.query({
    name: 'reelect',
    text: "UPDATE river_like SET expires = now() + $3 * interval '1 millisecond' WHERE name = $1 AND leader = $2 AND expires >= now()",
    values: [name, leader, ttlMs],
  })
}

export async function resignInRiver(session: pg.Client, name: string, leader: string): Promise<void> {
  await session.query({
    name: 'resign',
    text: `WITH held AS (SELECT name, pg_notify('river_like', name) FROM river_like WHERE name = $1 AND leader = $2 FOR UPDATE)
      DELETE FROM river_like USING held WHERE river_like.name = held.name`,
    values: [name, leader],
  })
}

async function cycles({ database }: Bench, callers: number): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: callers }, () => database.connect()))
  const [first] = sessions as [pg.Client]
  await createRiverTable(first)
  const calls = sessions.map((session, index): Call => {
    const name = `river ${index}`
    return async () => {
      if (!(await electInRiver(session, name, 'holder'))) throw new Error(`${name} was refused`)
      await resignInRiver(session, name, 'holder')
    }
  })
  return callersRunner('cycles', calls, () => Promise.all(sessions.map((session) => session.end())))
}

export function riverCycles(callers: number): Contestant {
  return {
    name: "River's SQL",
    how: 'a row of an unlogged table: not durable',
    open: (bench) => cycles(bench, callers),
  }
}
