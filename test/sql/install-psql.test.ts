import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, type TestContext, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres/database.ts'
import { rowsOf } from './leases.ts'

const installScript = fileURLToPath(new URL('../../sql/install.sql', import.meta.url))

interface Outcome {
  readonly exitCode: number
  readonly output: string
  readonly errors: string
}

/** What psql said; undefined where there is no psql. */
function psql(database: TestDatabase, ...options: string[]): Promise<Outcome | undefined> {
  const all = ['--no-psqlrc', '--tuples-only', '--no-align', '--set=VERBOSITY=verbose', ...options]
  return new Promise((resolve, reject) => {
    execFile('psql', [...all, database.connectionString], (error, output, errors) => {
      if (error === null) resolve({ exitCode: 0, output: output.trim(), errors })
      else if (error.code === 'ENOENT') resolve(undefined)
      else if (typeof error.code === 'number')
        resolve({ exitCode: error.code, output: output.trim(), errors })
      else reject(error)
    })
  })
}

let available = false

beforeAll(async () => {
  await using probe = await createTestDatabase({ empty: true })
  available = (await psql(probe, '--command=SELECT')) !== undefined
})

function skipWithoutPsql(context: TestContext): void {
  if (available) return
  console.log('skipped: no psql')
  context.skip('skipped: no psql')
}

async function install(database: TestDatabase): Promise<Outcome | undefined> {
  return psql(database, `--file=${installScript}`)
}

/** Everything in the schema, with the transaction that wrote it. */
async function contents(database: TestDatabase): Promise<unknown[]> {
  const client = await database.connect()
  return rowsOf(
    client,
    `SELECT 'function' AS kind, oid::bigint, xmin, proacl::text AS acl FROM pg_proc WHERE pronamespace = 'elect'::regnamespace
     UNION ALL SELECT 'relation', oid::bigint, xmin, relacl::text FROM pg_class WHERE relnamespace = 'elect'::regnamespace
     UNION ALL SELECT 'schema', oid::bigint, xmin, nspacl::text FROM pg_namespace WHERE nspname = 'elect'
     UNION ALL SELECT 'lease', token, xmin, holder FROM elect.leases
     ORDER BY 1, 2`,
  )
}

test('plain psql installs the schema, and the textbook list holds there', async (context) => {
  skipWithoutPsql(context)
  await using database = await createTestDatabase({ empty: true })
  expect(await install(database)).toMatchObject({ exitCode: 0, errors: '' })

  const swap = (values: string) => psql(database, `--command=SELECT elect.compare_and_swap(${values})`)
  const steps: [values: string, answer: string][] = [
    ["'k', 'a', null", 't'],
    ["'k', 'a', null", 'f'],
    ["'k', 'a', ''", 'f'],
    ["'k', 'b', 'a'", 't'],
    ["'k', 'c', 'a'", 'f'],
    ["key => 'k', next => '', current => 'b'", 't'],
  ]
  for (const [values, answer] of steps) {
    expect([values, (await swap(values))?.output]).toEqual([values, answer])
  }
  const error = await swap("'k', 'c', 'b'")
  expect(error).toMatchObject({ exitCode: 1, output: '' })
  expect(error?.errors).toContain('ERROR:  LE002: Expected value b for key k, but found empty\n')

  const expiring = await psql(
    database,
    "--command=SELECT elect.compare_and_swap('k', 'a', null, ttl => '100 milliseconds')",
    '--command=SELECT FROM elect.leases, pg_sleep_until(expires_at)',
    "--command=SELECT elect.compare_and_swap('k', 'b', 'a')",
  )
  expect(expiring?.errors).toContain('LE002: Expected value a for key k, but found empty')
})

test('a second run fails with 42P06 and changes nothing', async (context) => {
  skipWithoutPsql(context)
  await using database = await createTestDatabase({ empty: true })
  await install(database)
  await psql(database, "--command=SELECT elect.acquire_lease('lease', 'ada')")
  const before = await contents(database)
  const again = await install(database)
  expect(again?.exitCode).not.toBe(0)
  expect(again?.errors).toContain('ERROR:  42P06: Schema elect is already installed, at version 1')
  expect(await contents(database)).toEqual(before)
})

test('a run that fails half-way leaves nothing', async (context) => {
  skipWithoutPsql(context)
  await using database = await createTestDatabase({ empty: true })
  const client = await database.connect()
  // In the way of a late object of the script.
  await client.query('CREATE SCHEMA elect; CREATE TABLE elect.current_leases ()')
  const failed = await install(database)
  expect(failed?.exitCode).not.toBe(0)
  expect(await rowsOf(client, "SELECT FROM pg_proc WHERE pronamespace = 'elect'::regnamespace")).toEqual([])
  expect(
    await rowsOf(client, "SELECT relname FROM pg_class WHERE relnamespace = 'elect'::regnamespace"),
  ).toEqual([{ relname: 'current_leases' }])
})
