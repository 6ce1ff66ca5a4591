import { readdir } from 'node:fs/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { AccessDeniedError, SchemaNewerError } from '../../../src/index.ts'
import { SCHEMA_VERSION } from '../../../src/install.ts'
import { createTestDatabase } from '../../support/postgres/database.ts'
import { installSchema } from '../../support/postgres/install.ts'
import { openClient } from './clients.ts'
import { startContender } from './processes.ts'

describe('install', () => {
  test('by 20 processes at once installs once', { timeout: 120_000 }, async () => {
    await using database = await createTestDatabase({ empty: true })
    const contenders = await Promise.all(
      Array.from({ length: 20 }, () => startContender(database, 'x', 15_000)),
    )
    for (const contender of contenders) contender.tell('install')
    await Promise.all(contenders.map((contender) => contender.reported('installed')))
    const session = await database.connect()
    const { rows } = await session.query('SELECT name FROM elect.migrations')
    expect(rows).toEqual([{ name: '0001_core' }])
    const { client } = openClient(database)
    expect((await client.acquire('x')).isHeld).toBe(true)
  })

  test('a second time changes nothing', async () => {
    await using database = await createTestDatabase({ empty: true })
    const { client } = openClient(database)
    await client.install()
    await using lease = await client.acquire('kept')
    await client.install()
    expect(await client.get('kept')).toMatchObject({ token: lease.token })
  })

  test('accepts what psql has installed', async () => {
    await using database = await createTestDatabase({ empty: true })
    await installSchema(database.connectionString)
    const { client } = openClient(database)
    await client.install()
    expect((await client.acquire('x')).isHeld).toBe(true)
  })

  test('refuses a schema newer than the package, and leaves it alone', async () => {
    await using database = await createTestDatabase()
    const session = await database.connect()
    await session.query(
      `CREATE OR REPLACE FUNCTION elect.schema_version() RETURNS integer LANGUAGE sql AS 'SELECT ${SCHEMA_VERSION + 1}'`,
    )
    const { client } = openClient(database)
    await expect(client.install()).rejects.toThrow(SchemaNewerError)
    const { rows } = await session.query(`SELECT to_regclass('elect.migrations') AS migrations`)
    expect(rows).toEqual([{ migrations: null }])
  })

  test('needs no rights where there is nothing to do, and says so where there is', async () => {
    await using database = await createTestDatabase()
    await using empty = await createTestDatabase({ empty: true })
    const session = await database.connect()
    const role = `app_${database.name}`
    await session.query(`CREATE ROLE ${role} LOGIN PASSWORD 'app' IN ROLE elect_user`)
    onTestFinished(async () => {
      const admin = await database.connect({ database: 'postgres' })
      await admin.query(`DROP ROLE ${role}`)
    })
    const as = (url: string) => Object.assign(new URL(url), { username: role, password: 'app' }).href
    const { client } = openClient(database, { connectionString: as(database.connectionString) })
    await client.install()
    expect((await client.acquire('x')).isHeld).toBe(true)
    await client.close()
    const { client: outsider } = openClient(empty, { connectionString: as(empty.connectionString) })
    await expect(outsider.install()).rejects.toThrow(AccessDeniedError)
  })

  test('the version is the number of the last migration', async () => {
    const migrations = (await readdir('migrations')).filter((name) => name.endsWith('.js'))
    expect(migrations).toHaveLength(SCHEMA_VERSION)
    await using database = await createTestDatabase()
    const session = await database.connect()
    const { rows } = await session.query('SELECT elect.schema_version() AS version')
    expect(rows).toEqual([{ version: SCHEMA_VERSION }])
  })
})
