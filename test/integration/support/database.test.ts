import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { backendPid, whenBlocked } from '../../support/postgres/session.ts'

let database: TestDatabase
let observer: pg.Client

beforeAll(async () => {
  database = await createTestDatabase()
  observer = await database.connect()
})

afterAll(() => database?.drop())

const schemaExists = "SELECT to_regnamespace('elect') IS NOT NULL AS answer"
const databaseExists = 'SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS answer'

test('a test database has the schema', async () => {
  const { rows } = await observer.query(schemaExists)
  expect(rows).toEqual([{ answer: true }])
})

test('an empty test database has not', async () => {
  await using empty = await createTestDatabase({ empty: true })
  const client = await empty.connect()
  const { rows } = await client.query(schemaExists)
  expect(rows).toEqual([{ answer: false }])
})

test('many databases are copied from the template at once', async () => {
  const databases = await Promise.all(Array.from({ length: 5 }, () => createTestDatabase()))
  expect(new Set(databases.map(({ name }) => name)).size).toBe(5)
  await Promise.all(databases.map((each) => each.drop()))
})

test('drop ends sessions, even one that waits for a lock, and removes the database', async () => {
  const other = await createTestDatabase({ empty: true })
  const [first, second] = [await other.connect(), await other.connect()]
  await first.query('SELECT pg_advisory_lock(1)')
  const pid = await backendPid(second)
  const waiting = Promise.allSettled([second.query('SELECT pg_advisory_lock(1)')])
  await whenBlocked(await other.connect(), pid)
  await other.drop()
  // Whether it got the lock from the first before it had to go is the server's choice.
  await waiting
  await expect(second.query('SELECT 1')).rejects.toThrow()
  const { rows } = await observer.query(databaseExists, [other.name])
  expect(rows).toEqual([{ answer: false }])
})

test('overrides go before what the connection string says', async () => {
  const client = await database.connect({ database: 'postgres', application_name: 'somebody' })
  const { rows } = await client.query(
    "SELECT current_database() AS database, current_setting('application_name') AS name",
  )
  expect(rows).toEqual([{ database: 'postgres', name: 'somebody' }])
})

test('nobody can connect to the template, so that it can always be copied', async () => {
  await expect(database.connect({ database: inject('templateDatabase') })).rejects.toThrow(
    /not currently accepting connections/,
  )
})

test('whenBlocked tells what a session does that never waits', async () => {
  const pid = await backendPid(await database.connect())
  await expect(whenBlocked(observer, pid, 50)).rejects.toThrow(
    new RegExp(`${pid} did not wait .*"state":"idle"`),
  )
})
