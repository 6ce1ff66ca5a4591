import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  failureOf,
  grantTo,
  guard,
  renew,
  rowsOf,
  scalar,
  sqlStateOf,
  transfer,
  useDatabase,
} from './leases.ts'
import { createRole } from './roles.ts'

const database = useDatabase()
const run = promisify(execFile)
let writer: pg.Client
let other: pg.Client
let observer: pg.Client

beforeAll(async () => {
  writer = await database.connect()
  other = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  await writer.query('ROLLBACK')
  await other.query('ROLLBACK')
})

let count = 0
/** A lease of ada's, and a table that it protects. */
async function protectedTable(): Promise<{ lease: string; table: string; token: number }> {
  count += 1
  const [lease, table] = [`lease ${count}`, `table_${count}`]
  await observer.query(
    `CREATE TABLE ${table} (id integer); SELECT elect.protect_table('${table}', '${lease}')`,
  )
  return { lease, table, token: await grantTo(observer, lease, 'ada', '1 hour') }
}

async function claim(client: pg.Client, claimed: unknown): Promise<void> {
  const text = typeof claimed === 'string' ? claimed : JSON.stringify(claimed)
  await client.query("SELECT set_config('elect.tokens', $1, true)", [text])
}

const idsIn = async (table: string) => (await rowsOf(observer, `SELECT id FROM ${table}`)).map(({ id }) => id)

/** What lets the transaction write: the guard, or no more than a claim, which the trigger proves and keeps proved. */
const proofs: [string, (lease: string, token: number) => Promise<void>][] = [
  ['a guard', (lease, token) => guard(writer, lease, token)],
  ['a claim', (lease, token) => claim(writer, { [lease]: token })],
]
const changes: [string, (lease: string, token: number) => Promise<unknown>][] = [
  ['a transfer', (lease, token) => transfer(other, lease, token, 'bob')],
  ['a forced release', (lease) => other.query("SELECT elect.force_release($1, 'a test')", [lease])],
]

describe.each(proofs)('between a write by %s and its commit', (_proof, prove) => {
  test.each(changes)('%s waits, and comes after', async (_change, change) => {
    const { lease, table, token } = await protectedTable()
    await writer.query('BEGIN')
    await prove(lease, token)
    await writer.query(`INSERT INTO ${table} VALUES (1)`)
    const pid = await backendPid(other)
    const changed = change(lease, token)
    await whenBlocked(observer, pid)
    await writer.query('COMMIT')
    await changed
    expect(await idsIn(table)).toEqual([1])
    await writer.query('BEGIN')
    await claim(writer, { [lease]: token })
    expect(await sqlStateOf(writer.query(`INSERT INTO ${table} VALUES (2)`))).toBe('LE001')
  })

  test('the writer is ended where that is asked for, and nothing of it is left', async () => {
    const { lease, table, token } = await protectedTable()
    const { name } = await createRole(observer)
    await observer.query(`ALTER ROLE ${name} LOGIN PASSWORD 'x'; GRANT ALL ON ${table} TO ${name};
      SELECT elect.grant_access('${name}', 'user')`)
    const writing = await database.connect({ user: name.slice(1, -1), password: 'x' })
    await writing.query('BEGIN')
    await claim(writing, { [lease]: token })
    await writing.query(`INSERT INTO ${table} VALUES (1)`)
    expect(await scalar(other, "SELECT elect.force_release($1, 'a test', true)", [lease])).toBe(true)
    expect(
      await writing.query('COMMIT').then(
        () => 'committed',
        () => 'ended',
      ),
    ).toBe('ended')
    expect(await idsIn(table)).toEqual([])
  })
})

test.each(['COMMIT', 'ROLLBACK'])('after the %s the session carries nothing', async (end) => {
  const { lease, table, token } = await protectedTable()
  await writer.query('BEGIN')
  await guard(writer, lease, token)
  await writer.query(end)
  expect(await sqlStateOf(writer.query(`INSERT INTO ${table} VALUES (1)`))).toBe('LE001')
})

describe('at a level with a snapshot of the whole transaction', () => {
  const since: [string, (lease: string, token: number) => Promise<unknown>][] = [
    ...changes,
    [
      'a transfer after two renewals',
      async (lease, token) => {
        await renew(other, lease, token)
        await renew(other, lease, token)
        await transfer(other, lease, token, 'bob')
      },
    ],
  ]
  test.each(
    ['REPEATABLE READ', 'SERIALIZABLE'].flatMap((level) =>
      since.map((change) => [level, ...change] as const),
    ),
  )('%s, %s since makes the token stale: 40001', async (level, _what, change) => {
    const { lease, table, token } = await protectedTable()
    await writer.query(`BEGIN ISOLATION LEVEL ${level}`)
    await writer.query('SELECT 1')
    await change(lease, token)
    await claim(writer, { [lease]: token })
    expect(await sqlStateOf(writer.query(`INSERT INTO ${table} VALUES (1)`))).toBe('40001')
    await writer.query('ROLLBACK')
    expect(await idsIn(table)).toEqual([])
  })
})

describe('COPY from the client', () => {
  test.each([
    ['the current token', (token: number) => token, true],
    ['a stale one', (token: number) => token - 1, false],
    ['none', () => undefined, false],
  ])('with %s', async (_what, tokenOf, isAllowed) => {
    const { lease, table, token } = await protectedTable()
    const claimed = tokenOf(token)
    const claiming = claimed === undefined ? '' : `SET LOCAL elect.tokens = '{"${lease}": ${claimed}}';`
    const script = `BEGIN; ${claiming}\nCOPY ${table} FROM STDIN;\n7\n8\n\\.\nCOMMIT;\n`
    const stderr = await psql(script)
    if (stderr === undefined) return
    expect(stderr.includes('LE001')).toBe(!isAllowed)
    expect(await idsIn(table)).toEqual(isAllowed ? [7, 8] : [])
  })

  /** What psql says to that script; undefined where there is no psql. */
  async function psql(script: string): Promise<string | undefined> {
    const args = [
      '-X',
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-v',
      'VERBOSITY=verbose',
      '-d',
      database.connectionString,
    ]
    const running = run('psql', args)
    running.child.stdin?.on('error', () => undefined)
    running.child.stdin?.end(script)
    try {
      return (await running).stderr
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return (error as { stderr: string }).stderr
      console.log('skipped: no psql')
      return undefined
    }
  }
})

test.each([
  '[]',
  '7',
  '"x"',
  'null',
  '',
  '{',
  '{"$": null}',
  '{"$": 1.5}',
  '{"$": -1}',
  '{"$": 1e400}',
  '{"$": [1]}',
])('what no guard has set claims nothing: %s', async (garbage) => {
  const { lease, table } = await protectedTable()
  await writer.query('BEGIN')
  await claim(writer, garbage.replace('$', lease))
  const { code, message, hint } = await failureOf(writer.query(`INSERT INTO ${table} VALUES (1)`))
  expect({ code, message }).toEqual({
    code: 'LE001',
    message: `Table public.${table} is protected by lease ${lease}, of which this transaction carries no token`,
  })
  expect(hint).toContain(`elect.assert_lease('${lease}', token)`)
})

describe('tables', () => {
  test('that cannot be protected are refused', async () => {
    await other.query('CREATE TEMP TABLE scratch (id integer)')
    await other.query(`CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
      CREATE FOREIGN TABLE away (id integer) SERVER nowhere; CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one`)
    for (const target of ["'scratch'", "'away'", "'seen'", 'NULL', '999999']) {
      expect(await sqlStateOf(other.query(`SELECT elect.protect_table(${target}, 'billing')`))).toBe('22023')
    }
  })

  test('that refer to a truncated one are truncated only with the token', async () => {
    const { lease, table, token } = await protectedTable()
    await other.query(
      `CREATE TABLE parent (id integer PRIMARY KEY); ALTER TABLE ${table} ADD FOREIGN KEY (id) REFERENCES parent`,
    )
    expect(await sqlStateOf(other.query('TRUNCATE parent CASCADE'))).toBe('LE001')
    await other.query('BEGIN')
    await guard(other, lease, token)
    expect(await sqlStateOf(other.query('TRUNCATE parent CASCADE'))).toBe('00000')
  })
})

describe('what protection does not keep from', () => {
  test('the owner, who can disable it', async () => {
    const { table } = await protectedTable()
    await other.query(`ALTER TABLE ${table} DISABLE TRIGGER elect_guard`)
    expect(await sqlStateOf(other.query(`INSERT INTO ${table} VALUES (1)`))).toBe('00000')
    const shown = `SELECT enabled FROM elect.protected_tables WHERE target = '${table}'::regclass`
    expect(await rowsOf(other, shown)).toEqual([{ enabled: false }])
  })

  test('a superuser, who can write as a replica; nobody else can', async () => {
    const { table } = await protectedTable()
    await other.query('BEGIN; SET LOCAL session_replication_role = replica')
    expect(await sqlStateOf(other.query(`INSERT INTO ${table} VALUES (1)`))).toBe('00000')
    await other.query('ROLLBACK')
    await other.query('SET ROLE elect_admin')
    expect(await sqlStateOf(other.query('SET session_replication_role = replica'))).toBe('42501')
    await other.query('RESET ROLE')
  })
})
