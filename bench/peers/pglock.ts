/**
 * What cirello-io/pglock asks of PostgreSQL, from its public description (https://pkg.go.dev/cirello.io/pglock): a row for each lock with a
 * record version number from a sequence; each step is a serializable transaction.
 */
import type pg from 'pg'
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'

const TABLES = `CREATE TABLE IF NOT EXISTS pglock (name text PRIMARY KEY, version bigint, data bytea, owner text);
  CREATE SEQUENCE IF NOT EXISTS pglock_versions`

async function cycles({ database }: Bench, callers: number): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: callers }, () => database.connect()))
  await sessions[0]?.query(TABLES)
  const calls = sessions.map((session, index): Call => {
    const name = `pglock ${index}`
    return async () => {
      const version = await acquire(session, name)
      await release(session, name, version)
    }
  })
  return callersRunner('cycles', calls, () => Promise.all(sessions.map((session) => session.end())))
}

async function acquire(session: pg.Client, name: string): Promise<string> {
  await session.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
  const next = await session.query<{ version: string }>({
    name: 'next',
    text: "SELECT nextval('pglock_versions') AS version",
  })
  const version = next.rows[0]?.version ?? ''
  await session.query({
    name: 'take',
    text: `INSERT INTO pglock (name, version, owner) VALUES ($1, $2, 'holder')
      ON CONFLICT (name) DO UPDATE SET version = excluded.version, owner = excluded.owner WHERE pglock.version IS NULL`,
    values: [name, version],
  })
  const { rows } = await session.query<{ version: string }>({
    name: 'look',
    text: 'SELECT version, data, owner FROM pglock WHERE name = $1 FOR UPDATE',
    values: [name],
  })
  await session.query('COMMIT')
  if (rows[0]?.version !== version) throw new Error(`${name} was refused`)
  return version
}

async function release(session: pg.Client, name: string, version: string): Promise<void> {
  await session.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
  await session.query({
    name: 'leave',
    text: 'UPDATE pglock SET version = NULL WHERE name = $1 AND version = $2',
    values: [name, version],
  })
  await session.query({
    name: 'remove',
    text: 'DELETE FROM pglock WHERE name = $1 AND version IS NULL',
    values: [name],
  })
  await session.query('COMMIT')
}

export function pglockCycles(callers: number): Contestant {
  return {
    name: 'pglock SQL',
    how: 'serializable transactions on a row; durable',
    open: (bench) => cycles(bench, callers),
  }
}
