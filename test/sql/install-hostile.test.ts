import type pg from 'pg'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts'
import { installSchema } from '../support/postgres/install.ts'
import { grantTo, rowsOf, scalar, sqlStateOf } from './leases.ts'
import { createRole } from './roles.ts'

// A database that others have been at before the schema is installed.

let database: TestDatabase
let superuser: pg.Client

beforeEach(async () => {
  database = await createTestDatabase({ empty: true })
  superuser = await database.connect()
  // Before the roles of the test: what they own, or are given, goes with the database.
  onTestFinished(() => database.drop())
})

test('what stands in public takes no part in the installation, nor in the functions', async () => {
  await superuser.query(`
    CREATE TABLE public.caught (who text);
    GRANT ALL ON public.caught TO PUBLIC;
    CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN pg_catalog.format($1, VARIADIC ARRAY[$2]); END $$;
    CREATE FUNCTION public.format(text, text, text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN pg_catalog.format($1, VARIADIC ARRAY[$2, $3]); END $$;
    CREATE FUNCTION public.times(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN 1; END $$;
    CREATE OPERATOR public.* (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.times)`)
  await installSchema(database.connectionString)
  // Not the looks of this test itself.
  await superuser.query('SET search_path = pg_catalog')
  await grantTo(superuser, 'lease', 'ada')
  expect(await rowsOf(superuser, 'SELECT * FROM public.caught')).toEqual([])
})

test('default privileges open nothing', async () => {
  const { name } = await createRole(superuser)
  await superuser.query(`
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ${name};
    ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO ${name};
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO ${name}`)
  await installSchema(database.connectionString)
  await superuser.query(`GRANT USAGE ON SCHEMA elect TO ${name}; SET ROLE ${name}`)
  expect(await sqlStateOf(superuser.query("UPDATE elect.leases SET holder = 'evil'"))).toBe('42501')
  expect(await sqlStateOf(superuser.query("SELECT elect.force_release('lease', 'mine')"))).toBe('42501')
  expect(await sqlStateOf(superuser.query('CREATE TABLE elect.mine ()'))).toBe('42501')
  await superuser.query('RESET ROLE')
})

test.each([
  [
    'a function',
    'CREATE FUNCTION elect.mine() RETURNS integer LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$',
  ],
  ['a table', 'CREATE TABLE elect.mine ()'],
  ['the right to create', 'GRANT CREATE ON SCHEMA elect TO PUBLIC'],
])('a schema elect with %s in it is not taken over', async (_what, planted) => {
  await superuser.query(`CREATE SCHEMA elect; ${planted}`)
  await expect(installSchema(database.connectionString)).rejects.toMatchObject({ code: '55000' })
  expect(await scalar(superuser, "SELECT to_regclass('elect.leases') IS NULL")).toBe(true)
})
