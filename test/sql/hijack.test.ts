import type pg from 'pg'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import {
  acquire,
  grantTo,
  guard,
  inTransaction,
  renew,
  rowsOf,
  scalar,
  sqlStateOf,
  useDatabase,
} from './leases.ts'
import { callOfEach, createRole } from './roles.ts'

// Functions that run as their owner must mean the same whatever the caller puts in the way.

const database = useDatabase()
let superuser: pg.Client
let attacker: pg.Client
let role: string

beforeEach(async () => {
  superuser = await database.connect()
  role = (await createRole(superuser)).name
  await superuser.query(`
    CREATE SCHEMA evil AUTHORIZATION ${role};
    GRANT USAGE ON SCHEMA evil TO PUBLIC;
    GRANT TEMPORARY ON DATABASE ${database.name} TO ${role};
    SELECT elect.grant_access('${role}', 'admin')`)
  attacker = await database.connect()
  onTestFinished(() => attacker.end())
  await attacker.query(`SET ROLE ${role}`)
})

const standIns = `
  CREATE FUNCTION evil.caught() RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'hijacked as %', current_user USING ERRCODE = 'HJ000';
  END $$;
  CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN 'infinity'; END $$;
  CREATE FUNCTION evil.octet_length(text) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN 1; END $$;
  CREATE FUNCTION evil.pg_try_advisory_xact_lock(bigint) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN true; END $$;
  CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); END $$;
  CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN 'on'; END $$;
  CREATE FUNCTION evil.cardinality(anyarray) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN 1; END $$;
  CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN true; END $$;
  CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
  CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
  CREATE FUNCTION evil.same(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN true; END $$;
  CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.same);
  CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM evil.caught(); RETURN false; END $$;
  CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);`

async function expectLeasesWork(): Promise<void> {
  await superuser.query('DELETE FROM elect.leases')
  const token = await grantTo(attacker, 'lease', 'ada', '1 hour')
  expect(await acquire(attacker, 'lease', 'eve')).toMatchObject({ granted: false, holder: 'ada', token })
  expect(await renew(attacker, 'lease', token + 1)).toMatchObject({ granted: false, holder: 'ada' })
  expect(await renew(attacker, 'lease', token)).toMatchObject({ granted: true })
  expect(await sqlStateOf(guard(attacker, 'lease', token + 1))).toBe('LE001')
  await guard(attacker, 'lease', token)
  expect(await scalar(attacker, "SELECT elect.compare_and_swap('lease', 'eve', 'bob')")).toBe(false)
  expect(
    await rowsOf(superuser, "SELECT holder, token::float8 FROM elect.leases WHERE name = 'lease'"),
  ).toEqual([{ holder: 'ada', token }])
}

test('a schema of the caller in front of the server has no say', async () => {
  await attacker.query(standIns)
  await attacker.query('SET search_path = evil, pg_catalog, elect')
  expect(await sqlStateOf(attacker.query('SELECT clock_timestamp()'))).toBe('HJ000')
  await expectLeasesWork()
  for (const call of (await callOfEach(superuser)).values()) {
    const state = await sqlStateOf(inTransaction(attacker, () => attacker.query(call)))
    expect([call, state]).not.toEqual([call, 'HJ000'])
  }
})

test('temporary tables, types and functions of the same names have no say', async () => {
  await attacker.query(`
    CREATE TEMPORARY TABLE leases AS SELECT * FROM elect.current_leases WITH NO DATA;
    CREATE TEMPORARY VIEW current_leases AS SELECT 'lease' AS name, 'eve' AS holder;
    CREATE TYPE pg_temp.lease_grant AS (granted boolean);
    CREATE FUNCTION pg_temp.valid_name(name text) RETURNS text LANGUAGE sql AS $$ SELECT 'other' $$;
    CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz 'infinity' $$;
    SET search_path = pg_temp, pg_catalog, elect`)
  await expectLeasesWork()
  expect(await rowsOf(attacker, 'SELECT * FROM pg_temp.leases')).toEqual([])
})
