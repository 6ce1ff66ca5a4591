import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { grantTo, guard, renew, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { createRole } from './roles.ts'

const database = useDatabase()
const run = promisify(execFile)
let owner: pg.Client
let other: pg.Client
let token: number

beforeAll(async () => {
  owner = await database.connect()
  other = await database.connect()
  await owner.query(`
    CREATE TABLE accounts (id integer PRIMARY KEY);
    CREATE TABLE payouts (id integer PRIMARY KEY, amount integer,
      account integer REFERENCES accounts ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE notes (id integer PRIMARY KEY, account integer REFERENCES accounts ON DELETE SET NULL ON UPDATE CASCADE);
    CREATE TABLE parts (id integer, day integer) PARTITION BY RANGE (day);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE part_sub PARTITION OF parts FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (day);
    CREATE TABLE part_sub_1 PARTITION OF part_sub FOR VALUES FROM (10) TO (15);
    SELECT elect.protect_table('payouts', 'billing'), elect.protect_table('notes', 'billing'),
      elect.protect_table('parts', 'billing');
    CREATE TABLE part_later PARTITION OF parts FOR VALUES FROM (20) TO (30);
    CREATE TABLE part_attached (id integer, day integer);
    ALTER TABLE parts ATTACH PARTITION part_attached FOR VALUES FROM (30) TO (40);
    CREATE TABLE part_sub_2 PARTITION OF part_sub FOR VALUES FROM (15) TO (20);
    CREATE VIEW payouts_view AS SELECT * FROM payouts;
    CREATE FUNCTION pay() RETURNS void LANGUAGE sql SECURITY DEFINER AS
      $$ INSERT INTO public.payouts VALUES (98, 1, NULL) $$`)
  token = await grantTo(owner, 'billing', 'ada', '1 hour')
  await inGuard(`INSERT INTO accounts VALUES (1), (2); INSERT INTO payouts VALUES (1, 10, 1), (2, 20, 2);
    INSERT INTO notes VALUES (1, 1), (2, 2); INSERT INTO parts VALUES (1, 1), (2, 12), (3, 16), (4, 21), (5, 31)`)
})

beforeEach(async () => {
  await owner.query('ROLLBACK')
  await other.query('ROLLBACK')
})

async function inGuard(text: string): Promise<void> {
  await owner.query('BEGIN')
  await guard(owner, 'billing', token)
  await owner.query(text)
  await owner.query('COMMIT')
}

const writes = [
  'INSERT INTO payouts VALUES (9, 1, NULL)',
  'UPDATE payouts SET amount = 1',
  'DELETE FROM payouts',
  'TRUNCATE payouts',
  'INSERT INTO payouts VALUES (1, 5, NULL) ON CONFLICT (id) DO UPDATE SET amount = 5',
  'WITH w AS (INSERT INTO payouts VALUES (9, 1, NULL) RETURNING id) SELECT * FROM w',
  `MERGE INTO payouts p USING (VALUES (1)) v (id) ON p.id = v.id
     WHEN MATCHED THEN UPDATE SET amount = 7 WHEN NOT MATCHED THEN INSERT VALUES (v.id, 7, NULL)`,
  'INSERT INTO payouts_view VALUES (9, 1, NULL)',
  'SELECT pay()',
  'DELETE FROM accounts WHERE id = 1',
  'UPDATE accounts SET id = 7 WHERE id = 1',
  'DELETE FROM accounts WHERE id = 2',
  'INSERT INTO parts VALUES (1, 1)',
  'INSERT INTO part_1 VALUES (1, 1)',
  'INSERT INTO part_sub VALUES (1, 11)',
  'INSERT INTO part_sub_1 VALUES (1, 11)',
  'INSERT INTO part_sub_2 VALUES (1, 16)',
  'INSERT INTO part_later VALUES (1, 21)',
  'INSERT INTO part_attached VALUES (1, 31)',
  'UPDATE parts SET day = 31 WHERE day = 1',
  'DELETE FROM part_attached',
  ...['parts', 'part_1', 'part_sub', 'part_sub_1', 'part_sub_2', 'part_later', 'part_attached'].map(
    (table) => `TRUNCATE ${table}`,
  ),
]

describe.each(writes)('%s', (write) => {
  test.each([
    ['no token', () => 'SELECT 1'],
    ['a stale token', () => `SET LOCAL elect.tokens = '{"billing": ${token - 1}}'`],
    ['a token that nobody has been granted', () => `SET LOCAL elect.tokens = '{"billing": ${token + 1000}}'`],
    ['the token of another lease', () => `SET LOCAL elect.tokens = '{"other": ${token}}'`],
    ['text for a token', () => `SET LOCAL elect.tokens = '{"billing": "${token}"}'`],
    ['garbage', () => `SET LOCAL elect.tokens = 'garbage'`],
  ])('is refused with %s', async (_what, claim) => {
    await other.query('BEGIN')
    await other.query(claim())
    expect(await sqlStateOf(other.query(write))).toBe('LE001')
  })

  test('is allowed to the current token', async () => {
    await other.query('BEGIN')
    await guard(other, 'billing', token)
    expect(await sqlStateOf(other.query(write))).toBe('00000')
    await other.query('ROLLBACK')
  })

  test('is refused after a rollback to before the guard', async () => {
    await other.query('BEGIN; SAVEPOINT before')
    await guard(other, 'billing', token)
    await other.query('ROLLBACK TO SAVEPOINT before')
    expect(await sqlStateOf(other.query(write))).toBe('LE001')
  })
})

test('COPY is refused without the token and allowed with it', async ({ skip }) => {
  const psql = async (...scripts: string[]) => {
    try {
      const args = ['-X', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', database.connectionString]
      return (await run('psql', [...args, ...scripts.flatMap((script) => ['-c', script])])).stderr
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        console.log('skipped: no psql')
        skip('skipped: no psql')
      }
      return (error as { stderr: string }).stderr
    }
  }
  const copy = "\\copy payouts (id) from program 'echo 77'"
  const copied = () => scalar(owner, 'SELECT count(*)::int FROM payouts WHERE id = 77')
  expect(await psql(copy)).toContain('LE001')
  expect(await copied()).toBe(0)
  expect(await psql('BEGIN', `SELECT elect.assert_lease('billing', ${token})`, copy, 'COMMIT')).toBe('')
  expect(await copied()).toBe(1)
})

describe('at a level with a snapshot of the whole transaction', () => {
  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    '%s a renewal since does not make it stale',
    async (level) => {
      const name = `renewed ${level}`
      const table = `renewed_${level.slice(0, 4)}`
      await owner.query(
        `CREATE TABLE ${table} (id integer); SELECT elect.protect_table('${table}', '${name}')`,
      )
      const short = await grantTo(owner, name, 'ada', '200 milliseconds')
      await other.query(`BEGIN ISOLATION LEVEL ${level}`)
      await guard(other, name, short)
      await renew(owner, name, short, '1 hour')
      // By now the lease has expired, as far as this snapshot can see.
      await other.query('SELECT pg_sleep(0.25)')
      expect(await sqlStateOf(other.query(`INSERT INTO ${table} VALUES (1)`))).toBe('00000')
      await other.query('COMMIT')
    },
  )

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])('%s a takeover since is told by 40001', async (level) => {
    const name = `overtaken ${level}`
    const table = `overtaken_${level.slice(0, 4)}`
    await owner.query(`CREATE TABLE ${table} (id integer); SELECT elect.protect_table('${table}', '${name}')`)
    const old = await grantTo(owner, name, 'ada')
    await other.query(`BEGIN ISOLATION LEVEL ${level}; SELECT count(*) FROM ${table}`)
    await owner.query('SELECT elect.transfer_lease($1, $2, $3)', [name, old, 'bob'])
    await other.query(`SET LOCAL elect.tokens = '{"${name}": ${old}}'`)
    expect(await sqlStateOf(other.query(`INSERT INTO ${table} VALUES (1)`))).toBe('40001')
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])('%s its own release ends it', async (level) => {
    const name = `released ${level}`
    const table = `released_${level.slice(0, 4)}`
    await owner.query(`CREATE TABLE ${table} (id integer); SELECT elect.protect_table('${table}', '${name}')`)
    const own = await grantTo(owner, name, 'ada')
    await other.query(`BEGIN ISOLATION LEVEL ${level}`)
    await guard(other, name, own)
    await other.query(`INSERT INTO ${table} VALUES (1)`)
    await other.query('SELECT elect.release_lease($1, $2)', [name, own])
    expect(await sqlStateOf(other.query(`INSERT INTO ${table} VALUES (2)`))).toBe('LE001')
  })
})

describe('who may', () => {
  test('a role without any right to the schema is refused as stale, not as forbidden', async () => {
    const { name } = await createRole(owner)
    await owner.query(`GRANT ALL ON payouts, parts TO ${name}`)
    await other.query(`SET ROLE ${name}`)
    expect(await sqlStateOf(other.query('INSERT INTO payouts VALUES (9, 1, NULL)'))).toBe('LE001')
    expect(await sqlStateOf(other.query('INSERT INTO parts VALUES (9, 1)'))).toBe('LE001')
    await other.query('RESET ROLE')
  })

  test('nobody but the owner protects or unprotects a table', async () => {
    const { name } = await createRole(owner)
    await owner.query(`SELECT elect.grant_access('${name}', 'user'); GRANT ALL ON payouts TO ${name}`)
    await other.query(`SET ROLE ${name}`)
    expect(await sqlStateOf(other.query("SELECT elect.protect_table('payouts', 'mine')"))).toBe('42501')
    expect(await sqlStateOf(other.query("SELECT elect.unprotect_table('payouts')"))).toBe('42501')
    await other.query('CREATE TEMP TABLE scratch (id integer); ALTER TABLE scratch ADD more integer')
    await other.query('RESET ROLE')
  })

  test('an owner who is no superuser protects its own table, partitions to come included', async () => {
    const { name } = await createRole(owner)
    await owner.query(`SELECT elect.grant_access('${name}', 'user'); CREATE SCHEMA own AUTHORIZATION ${name}`)
    await other.query(`SET ROLE ${name}`)
    await other.query(`CREATE TABLE own.t (id integer) PARTITION BY LIST (id); SELECT elect.protect_table('own.t', 'billing');
      CREATE TABLE own.t1 PARTITION OF own.t FOR VALUES IN (1)`)
    expect(await sqlStateOf(other.query('TRUNCATE own.t1'))).toBe('LE001')
    expect(await scalar(other, "SELECT elect.unprotect_table('own.t')")).toBe(true)
    expect(await sqlStateOf(other.query('TRUNCATE own.t1'))).toBe('00000')
    await other.query('RESET ROLE')
  })

  test('one without access to the schema makes and alters tables as ever', async () => {
    const { name } = await createRole(owner)
    await owner.query(`CREATE SCHEMA plain AUTHORIZATION ${name}`)
    await other.query(`SET ROLE ${name}`)
    await other.query(`CREATE TABLE plain.t (id integer) PARTITION BY LIST (id);
      CREATE TABLE plain.t1 PARTITION OF plain.t FOR VALUES IN (1); ALTER TABLE plain.t ADD more integer`)
    await other.query('RESET ROLE')
  })
})

describe('protect_table', () => {
  test('with the same lease again changes nothing, with another is refused', async () => {
    await owner.query("SELECT elect.protect_table('payouts', 'billing')")
    expect(await sqlStateOf(owner.query("SELECT elect.protect_table('payouts', 'other')"))).toBe('42710')
    const shown =
      'SELECT target::text, lease, enabled FROM elect.protected_tables WHERE lease = $1 ORDER BY 1'
    expect(await rowsOf(owner, shown, ['billing'])).toEqual(
      ['notes', 'parts', 'payouts'].map((target) => ({ target, lease: 'billing', enabled: true })),
    )
  })

  test.each(['payouts_view', 'accounts_pkey'])('refuses %s, which is no table', async (relation) => {
    expect(await sqlStateOf(owner.query(`SELECT elect.protect_table('${relation}', 'billing')`))).toBe(
      '22023',
    )
  })

  test('is undone by unprotect_table, and by it alone; a disabled one is shown as such', async () => {
    await owner.query(
      "CREATE TABLE gone (id integer); SELECT elect.protect_table('gone', 'ä \"quoted\" lease')",
    )
    expect(await sqlStateOf(owner.query('INSERT INTO gone VALUES (1)'))).toBe('LE001')
    await owner.query('ALTER TABLE gone DISABLE TRIGGER elect_guard')
    const shown = "SELECT lease, enabled FROM elect.protected_tables WHERE target = 'gone'::regclass"
    expect(await rowsOf(owner, shown)).toEqual([{ lease: 'ä "quoted" lease', enabled: false }])
    expect(await scalar(owner, "SELECT elect.unprotect_table('gone')")).toBe(true)
    expect(await scalar(owner, "SELECT elect.unprotect_table('gone')")).toBe(false)
    expect(await sqlStateOf(owner.query('INSERT INTO gone VALUES (1)'))).toBe('00000')
  })

  test('does not bind sessions that replicate, which only a superuser can have', async () => {
    await owner.query('BEGIN; SET LOCAL session_replication_role = replica')
    expect(await sqlStateOf(owner.query('UPDATE payouts SET amount = amount'))).toBe('00000')
    await owner.query('ROLLBACK')
  })
})
