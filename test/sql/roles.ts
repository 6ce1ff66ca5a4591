import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { onTestFinished } from 'vitest'
import { rowsOf } from './leases.ts'

/**
 * A role for one test. Roles belong to the whole server: it is dropped when the test ends.
 *
 * @param suffix - for a name that needs quotes
 * @returns the name as SQL takes it
 */
export async function createRole(superuser: pg.Client, suffix = ''): Promise<{ name: string }> {
  const name = `"elect_test_${randomBytes(6).toString('hex')}${suffix}"`
  await superuser.query(`CREATE ROLE ${name}`)
  onTestFinished(async () => {
    await superuser.query(`DROP OWNED BY ${name} CASCADE`)
    await superuser.query(`DROP ROLE ${name}`)
  })
  return { name }
}

/** A call of each function of the schema, all its arguments null, by its name. */
export async function callOfEach(client: pg.Client): Promise<Map<string, string>> {
  const rows = await rowsOf<{ name: string; call: string }>(
    client,
    `SELECT p.proname AS name, format('SELECT elect.%I(%s)', p.proname, (
       SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY place)
       FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, place))) AS call
     FROM pg_proc p WHERE p.pronamespace = 'elect'::regnamespace ORDER BY 1`,
  )
  return new Map(rows.map(({ name, call }) => [name, call]))
}
