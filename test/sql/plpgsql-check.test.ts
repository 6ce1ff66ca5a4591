import { expect, test } from 'vitest'
import { createTestDatabase } from '../support/postgres/database.ts'

// The extension cannot see through dynamic SQL: LISTEN changes the session, which a STABLE function may not. The others count
// what was committed up to the moment in which a lock was had, which a STABLE function need not see.
const wrongAdvice =
  /^elect\.(listen\(text\[\]\)|listen_here\(\)|has_room\(.*\)|rank_in_line\(.*\)): performance.*should be STABLE/

test('plpgsql_check finds nothing to say about any function', async ({ skip }) => {
  await using database = await createTestDatabase()
  const session = await database.connect()
  const { rowCount } = await session.query(`SELECT FROM pg_available_extensions WHERE name = 'plpgsql_check'`)
  if (rowCount === 0) {
    // The reporter does not show why a test was skipped.
    console.log('skipped: no plpgsql_check')
    skip('skipped: no plpgsql_check')
  }

  await session.query('CREATE EXTENSION plpgsql_check')
  const { rows } = await session.query<{ finding: string }>(
    `SELECT format('%s: %s: %s', p.oid::regprocedure, f.level, f.message) AS finding
     FROM pg_proc p
     CROSS JOIN LATERAL plpgsql_check_function_tb(
       p.oid, CASE p.prorettype WHEN 'trigger'::regtype THEN 'elect.leases'::regclass ELSE 0 END, extra_warnings => true, performance_warnings => true, security_warnings => true) AS f
     WHERE p.pronamespace = 'elect'::regnamespace
       AND p.prorettype <> 'event_trigger'::regtype AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')`,
  )
  expect(rows.map(({ finding }) => finding).filter((finding) => !wrongAdvice.test(finding))).toEqual([])
})
