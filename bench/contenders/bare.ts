/** The server's lock queue and one durable write, with no lease around them: what a hand-off costs at the least. */
import { connect } from '../harness/connect.ts'
import type { Contender, Release } from './contender.ts'

const ONE_AT_A_TIME = 7

export async function openBareContender(connectionString: string): Promise<Contender> {
  const session = await connect(connectionString)
  // All contenders come at once, and any of them may be the first.
  await session.query(`SELECT pg_advisory_lock(${ONE_AT_A_TIME});
    CREATE TABLE IF NOT EXISTS handed (name text PRIMARY KEY, n bigint) WITH (fillfactor = 70)`)
  await session.query(`SELECT pg_advisory_unlock(${ONE_AT_A_TIME})`)
  const made = new Set<string>()
  const key = (name: string) => `hashtextextended('${name}', 0)`
  return {
    async acquire(name): Promise<Release> {
      if (!made.has(name)) {
        await session.query('INSERT INTO handed VALUES ($1, 0) ON CONFLICT DO NOTHING', [name])
        made.add(name)
      }
      // Both in one trip. Each statement has a snapshot of its own: the update sees what the one before has written.
      await session.query(
        `SELECT pg_advisory_lock(${key(name)}); UPDATE handed SET n = n + 1 WHERE name = '${name}'`,
      )
      return () => session.query({ name: 'unlock', text: `SELECT pg_advisory_unlock(${key(name)})` })
    },
    close: () => session.end(),
  }
}
