import type pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { InvalidArgumentError, LeaseLostError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

// What could be taken for something else.

let database: TestDatabase
let session: pg.Client
beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  await session.query(`CREATE TABLE plain (id integer); CREATE TABLE others (id integer);
    SELECT elect.protect_table('others', 'another lease')`)
})
afterAll(() => database.drop())

test('a transaction that is under way is not ended by one inside it', async () => {
  const { client } = openClient(database)
  const lease = await client.acquire('nested')
  await session.query('BEGIN')
  onTestFinished(() => void session.query('ROLLBACK'))
  await session.query('INSERT INTO plain VALUES (1)')
  await expect(lease.transaction(session, (one) => one.query('SELECT 1'))).rejects.toThrow(
    InvalidArgumentError,
  )
  await expect(lease.once('nested', session, () => 1)).rejects.toThrow(/guard that one/)
  await session.query('ROLLBACK')
  expect((await session.query('SELECT FROM plain')).rowCount).toBe(0)
})

test('what is refused under another lease says nothing of this one', async () => {
  const { client } = openClient(database)
  const lease = await client.acquire('this one')
  const refused = lease.transaction(session, (one) => one.query('INSERT INTO others VALUES (1)'))
  await expect(refused).rejects.toMatchObject({ code: 'LE001' })
  const mine = new LeaseLostError('another lease', 'a test')
  await expect(lease.transaction(session, () => Promise.reject(mine))).rejects.toBe(mine)
  expect(lease.isHeld).toBe(true)
})

test('a result, or a thrown value, that JSON cannot take ends the operation at once', async () => {
  const { client } = openClient(database)
  const lease = await client.acquire('json')
  await expect(lease.once('result', () => 10n)).rejects.toThrow(InvalidArgumentError)
  await expect(lease.once('inside', session, () => 10n)).rejects.toThrow(InvalidArgumentError)
  const circular: { self?: unknown } = {}
  circular.self = circular
  await expect(lease.once('thrown', () => Promise.reject(circular))).rejects.toBe(circular)
  await expect(lease.once('nul', () => Promise.reject(new Error('a\0b')))).rejects.toThrow('a\0b')
  const states = await session.query(
    `SELECT operation_key, state FROM elect.operations WHERE lease = 'json' ORDER BY 1`,
  )
  expect(states.rows).toEqual([
    { operation_key: 'nul', state: 'failed' },
    { operation_key: 'result', state: 'begun' },
    { operation_key: 'thrown', state: 'failed' },
  ])
})

test('a partition is not unprotected by halves', async () => {
  await session.query(`CREATE TABLE parts (id integer) PARTITION BY LIST (id);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1); SELECT elect.protect_table('parts', 'another lease')`)
  const { rows } = await session.query("SELECT elect.unprotect_table('part_1') AS undone")
  expect(rows).toEqual([{ undone: false }])
  await expect(session.query('TRUNCATE part_1')).rejects.toMatchObject({ code: 'LE001' })
})

test('a partition that comes with a new schema is guarded against TRUNCATE, too', async () => {
  await session.query(`CREATE TABLE whole (id integer) PARTITION BY LIST (id); SELECT elect.protect_table('whole', 'another lease');
    CREATE SCHEMA beside CREATE TABLE part PARTITION OF public.whole FOR VALUES IN (1)`)
  await expect(session.query('TRUNCATE beside.part')).rejects.toMatchObject({ code: 'LE001' })
})
