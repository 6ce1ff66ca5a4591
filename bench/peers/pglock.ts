/**
 * What cirello-io/pglock asks of PostgreSQL (https://github.com/cirello-io/pglock): a row for each lock, with a record version number from a
 * sequence. Each step was a serializable transaction until release 1.16, and is one statement since. In both it is tried again at
 * once, up to 1,024 times, when the server could not serialize it.
 */
import type pg from 'pg'
import { type Call, callersRunner } from '../harness/callers.ts'
import type { Bench, Contestant, Runner } from '../harness/scenario.ts'

const TABLES = `CREATE TABLE IF NOT EXISTS pglock
    (name varchar(255) PRIMARY KEY, record_version_number bigint, data bytea, owner varchar(255));
  CREATE SEQUENCE IF NOT EXISTS pglock_rvn CYCLE OWNED BY pglock.record_version_number`

const ATTEMPTS_MAX = 1024
const COULD_NOT_SERIALIZE = '40001'

/** How one release of it takes a lock and gives it back. */
interface Steps {
  acquire(session: pg.Client, name: string, version: string): Promise<string | undefined>
  release(session: pg.Client, name: string, version: string): Promise<void>
}

async function cycles({ database }: Bench, callers: number, steps: Steps): Promise<Runner> {
  const sessions = await Promise.all(Array.from({ length: callers }, () => database.connect()))
  await sessions[0]?.query(TABLES)
  let retries = 0
  let done = 0
  const untilSerialized = async <Answer>(step: () => Promise<Answer>): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await step()
      } catch (error) {
        if ((error as { code?: string }).code !== COULD_NOT_SERIALIZE || attempt === ATTEMPTS_MAX) throw error
        retries += 1
      }
    }
  }
  const calls = sessions.map((session, index): Call => {
    const name = `pglock ${index}`
    return async () => {
      const version = await untilSerialized(async () => {
        const next = await nextVersion(session)
        const got = await steps.acquire(session, name, next)
        if (got !== next) throw new Error(`${name} was refused`)
        return next
      })
      await untilSerialized(() => steps.release(session, name, version))
      done += 1
    }
  })
  const runner = callersRunner('cycles', calls, () => Promise.all(sessions.map((session) => session.end())))
  return {
    async round(forMs) {
      retries = 0
      done = 0
      const figures = await runner.round(forMs)
      return { ...figures, 'retries a cycle': retries / done }
    },
    close: () => runner.close(),
  }
}

async function nextVersion(session: pg.Client): Promise<string> {
  const { rows } = await session.query<{ version: string }>({
    name: 'pglock next',
    text: 'SELECT nextval($1) AS version',
    values: ['pglock_rvn'],
  })
  return rows[0]?.version ?? ''
}

/** As it is since 1.16. */
const statements: Steps = {
  async acquire(session, name, version) {
    const { rows } = await session.query<{ record_version_number: string }>({
      name: 'pglock take',
      text: `INSERT INTO pglock (name, record_version_number, data, owner) VALUES ($1, $2, NULL, 'holder')
        ON CONFLICT (name) DO UPDATE SET
          record_version_number = CASE WHEN coalesce(pglock.record_version_number = $3, true) THEN $2 ELSE pglock.record_version_number END,
          owner = CASE WHEN coalesce(pglock.record_version_number = $3, true) THEN excluded.owner ELSE pglock.owner END
        RETURNING record_version_number, data, owner`,
      // It has not seen the lock before.
      values: [name, version, 0],
    })
    return rows[0]?.record_version_number
  },
  async release(session, name, version) {
    await session.query({
      name: 'pglock leave',
      text: 'DELETE FROM pglock WHERE name = $1 AND record_version_number = $2',
      values: [name, version],
    })
  },
}

/** As it was until then. */
const transactions: Steps = {
  acquire: (session, name, version) =>
    serializable(session, async () => {
      await session.query({
        name: 'pglock take row',
        text: `INSERT INTO pglock (name, record_version_number, data, owner) VALUES ($1, $2, NULL, 'holder')
          ON CONFLICT (name) DO UPDATE SET record_version_number = $2, owner = excluded.owner
          WHERE pglock.record_version_number IS NULL OR pglock.record_version_number = $3`,
        values: [name, version, 0],
      })
      const { rows } = await session.query<{ record_version_number: string }>({
        name: 'pglock look',
        text: 'SELECT record_version_number, data, owner FROM pglock WHERE name = $1 FOR UPDATE',
        values: [name],
      })
      return rows[0]?.record_version_number
    }),
  release: (session, name, version) =>
    serializable(session, async () => {
      await session.query({
        name: 'pglock leave row',
        text: 'UPDATE pglock SET record_version_number = NULL WHERE name = $1 AND record_version_number = $2',
        values: [name, version],
      })
      await session.query({
        name: 'pglock remove',
        text: 'DELETE FROM pglock WHERE name = $1 AND record_version_number IS NULL',
        values: [name],
      })
    }),
}

async function serializable<Answer>(session: pg.Client, work: () => Promise<Answer>): Promise<Answer> {
  await session.query('BEGIN ISOLATION LEVEL SERIALIZABLE')
  try {
    const answer = await work()
    await session.query('COMMIT')
    return answer
  } catch (error) {
    await session.query('ROLLBACK')
    throw error
  }
}

export function pglockCycles(callers: number): Contestant[] {
  return [
    {
      name: 'pglock SQL',
      how: 'as since 1.16: one statement a step, a row is made and deleted; durable',
      open: (bench) => cycles(bench, callers, statements),
    },
    {
      name: 'pglock SQL before 1.16',
      how: 'serializable transactions on a row, tried again when they fail; durable',
      open: (bench) => cycles(bench, callers, transactions),
    },
  ]
}
