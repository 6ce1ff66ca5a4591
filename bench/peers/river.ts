/**
 * What River's elector asks of PostgreSQL (https://github.com/riverqueue/river, internal/leadership): one row of an unlogged table. Not
 * durable by design: after a crash there is no leader.
 */
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'

async function cycles({ database }: Bench, callers: number): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: callers }, () => database.connect()))
  await sessions[0]?.query(
    'CREATE UNLOGGED TABLE IF NOT EXISTS river_like (name text PRIMARY KEY, leader text NOT NULL, elected timestamptz NOT NULL, expires timestamptz NOT NULL)',
  )
  const calls = sessions.map((session, index): Call => {
    const values = [`river ${index}`]
    return async () => {
      await session.query({
        name: 'expire',
        text: 'DELETE FROM river_like WHERE name = $1 AND expires < now()',
        values,
      })
      const { rowCount } = await session.query({
        name: 'elect',
        text: "INSERT INTO river_like VALUES ($1, 'holder', now(), now() + interval '15 seconds') ON CONFLICT (name) DO NOTHING",
        values,
      })
      if (rowCount !== 1) throw new Error(`${values} was refused`)
      await session.query({
        name: 'resign',
        text: `WITH held AS (SELECT name, pg_notify('river_like', name) FROM river_like WHERE name = $1 AND leader = 'holder' FOR UPDATE)
          DELETE FROM river_like USING held WHERE river_like.name = held.name`,
        values,
      })
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
