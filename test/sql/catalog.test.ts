import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { rowsOf, scalar, useDatabase } from './leases.ts'

// Rules that hold for every object of the schema, read from the catalog, so that a new one cannot be forgotten.

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

/** The signatures of the functions of the schema for which the condition holds. */
async function functionsWhere(condition: string): Promise<string[]> {
  const text = `SELECT p.oid::regprocedure::text AS signature
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE p.pronamespace = 'elect'::regnamespace AND (${condition}) ORDER BY 1`
  return (await rowsOf<{ signature: string }>(client, text)).map(({ signature }) => signature)
}

/** Pure helpers, which the view makes callable by its readers and which need no right of their owner. */
const pure = [
  'elect.expiry_of(elect.leases)',
  'elect.is_held(elect.leases,timestamp with time zone)',
  'elect.remaining_time(elect.leases,timestamp with time zone)',
]
/** Protecting a table is up to its owner: with the rights of the schema's owner it would be open to all. */
const ownTables = [
  'elect.protect_from_truncate(regclass)',
  'elect.protect_table(regclass,text)',
  'elect.trigger_lease(pg_trigger)',
  'elect.unprotect_table(regclass)',
  'elect.invalid_argument(text,text,text)',
  'elect.is_name(text)',
  'elect.valid_name(text)',
]

const clientRoles = ['elect_reader', 'elect_user', 'elect_admin']
const callable = clientRoles.map((role) => `has_function_privilege('${role}', p.oid, 'EXECUTE')`).join(' OR ')

test('there are functions to look at', async () => {
  expect((await functionsWhere('true')).length).toBeGreaterThan(35)
  expect((await functionsWhere(callable)).length).toBeGreaterThan(15)
})

describe('no function', () => {
  test('is left to everybody', async () => {
    const everybody = `EXISTS (
      SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
      WHERE a.grantee = 0)`
    expect(await functionsWhere(everybody)).toEqual([])
  })

  test('in plpgsql, or that runs as its owner, takes its names from the search path of the caller', async () => {
    const open = `(l.lanname = 'plpgsql' OR p.prosecdef)
      AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']`
    expect(await functionsWhere(open)).toEqual([])
  })

  test('in SQL is a text that is parsed anew in the path of the caller', async () => {
    const open = "l.lanname = 'sql' AND p.prosqlbody IS NULL AND p.proconfig IS NULL"
    expect(await functionsWhere(open)).toEqual([])
  })

  test('that a client may call runs with its rights, but pure ones and those that change its own tables', async () => {
    expect(await functionsWhere(`(${callable}) AND NOT p.prosecdef`)).toEqual(
      [...pure, ...ownTables].toSorted(),
    )
  })

  test('that runs as its owner is kept from all clients, and so of no use', async () => {
    expect(await functionsWhere(`p.prosecdef AND NOT (${callable})`)).toEqual([])
  })

  test('belongs to anybody but the role that nobody logs in as', async () => {
    expect(await functionsWhere("p.proowner <> 'elect_owner'::regrole")).toEqual([])
    const logins =
      "SELECT count(*)::int FROM pg_roles WHERE rolname ~ '^elect_(owner|user|reader|admin)$' AND rolcanlogin"
    expect(await scalar(client, logins)).toBe(0)
  })

  test('reads a clock that stands still in a transaction', async () => {
    const still = String.raw`\m(now|transaction_timestamp|statement_timestamp|timeofday)\s*\(|\mcurrent_(timestamp|time|date)\M|\mlocaltime(stamp)?\M`
    expect(await functionsWhere(`pg_get_functiondef(p.oid) ~* '${still}'`)).toEqual([])
    const views = `SELECT c.relname FROM pg_class c
      WHERE c.relnamespace = 'elect'::regnamespace AND c.relkind = 'v' AND pg_get_viewdef(c.oid) ~* $1`
    expect(await rowsOf(client, views, [still])).toEqual([])
    const defaults = `SELECT d.adrelid::regclass::text, d.adnum FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
      WHERE c.relnamespace = 'elect'::regnamespace AND c.relname <> 'migrations'
        AND pg_get_expr(d.adbin, d.adrelid) ~* $1`
    expect(await rowsOf(client, defaults, [still])).toEqual([])
  })

  test('is without a comment', async () => {
    expect(await functionsWhere("obj_description(p.oid, 'pg_proc') IS NULL")).toEqual([])
  })
})

describe('tables and views', () => {
  const relations =
    "FROM pg_class c WHERE c.relnamespace = 'elect'::regnamespace AND c.relname <> 'migrations'"
  const columns = `FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'elect'::regnamespace AND c.relname <> 'migrations' AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped`

  test('are not left to everybody, and clients may only read the views', async () => {
    const grants = `SELECT c.relname AS name, a.grantee::regrole::text AS grantee, a.privilege_type AS privilege
      FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
      WHERE c.relnamespace = 'elect'::regnamespace AND c.relkind IN ('r', 'v') AND a.grantee <> c.relowner
      ORDER BY 1, 2`
    expect(await rowsOf(client, grants)).toEqual(
      ['current_leases', 'protected_tables'].flatMap((name) =>
        clientRoles.toSorted().map((grantee) => ({ name, grantee, privilege: 'SELECT' })),
      ),
    )
    expect(await rowsOf(client, `SELECT c.relname, a.attname ${columns} AND a.attacl IS NOT NULL`)).toEqual(
      [],
    )
  })

  test('belong to the role that nobody logs in as', async () => {
    const others = `SELECT c.relname ${relations} AND c.relowner <> 'elect_owner'::regrole`
    expect(await rowsOf(client, others)).toEqual([])
  })

  test('have comments, and so has each column of the tables', async () => {
    const uncommented = `SELECT c.relname ${relations} AND c.relkind IN ('r', 'v', 'c')
      AND coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) IS NULL`
    expect(await rowsOf(client, uncommented)).toEqual([])
    const bare = `SELECT c.relname, a.attname ${columns} AND col_description(a.attrelid, a.attnum) IS NULL`
    expect(await rowsOf(client, bare)).toEqual([])
  })

  test('compare names, holders and candidates bytewise', async () => {
    // What is only stored, and never looked up, may compare in any way.
    const others = `SELECT c.relname, a.attname ${columns} AND a.attcollation <> 0
      AND a.attname NOT IN ('state', 'idempotency_key')
      AND a.attcollation <> (SELECT oid FROM pg_collation WHERE collname = 'C' AND collnamespace = 'pg_catalog'::regnamespace)`
    expect(await rowsOf(client, others)).toEqual([])
    expect(await rowsOf(client, `SELECT ${columns} AND a.attcollation <> 0`)).not.toEqual([])
  })
})

test('schema and roles have comments', async () => {
  expect(await scalar(client, "SELECT obj_description('elect'::regnamespace)")).toBeTruthy()
  const text = "SELECT shobj_description(r::regrole, 'pg_authid') FROM unnest($1::text[]) r"
  const comments = await rowsOf(client, text, [[...clientRoles, 'elect_owner']])
  for (const { shobj_description } of comments) expect(shobj_description).toBeTruthy()
})

test('nobody but its owner may create objects in the schema', async () => {
  const text = `SELECT r FROM unnest($1::text[]) r WHERE has_schema_privilege(r, 'elect', 'CREATE')`
  expect(await rowsOf(client, text, [[...clientRoles, 'public']])).toEqual([])
})
