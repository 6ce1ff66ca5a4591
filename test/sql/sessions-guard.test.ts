import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { acquire, failureOf, grantTo, guard, inTransaction, sqlStateOf, useDatabase } from './leases.ts'
import {
  endSession,
  expireSession,
  keepIn,
  openSession,
  releaseIn,
  renewIn,
  renewSession,
} from './sessions.ts'

const database = useDatabase()
/** The session of the guarded transaction. */
let guarded: pg.Client
let other: pg.Client

beforeAll(async () => {
  guarded = await database.connect()
  other = await database.connect()
})

beforeEach(async () => {
  await guarded.query('ROLLBACK')
})

describe('the guard of a lease that a session keeps', () => {
  test('passes while the session lasts, and keeps the next holder out after its end', async () => {
    const session = await openSession(other, 'ada')
    const token = await keepIn(other, session, 'guarded', 'ada')
    await keepIn(other, session, 'beside it', 'ada')
    await guarded.query('BEGIN')
    await guard(guarded, 'guarded', token)
    expect(await renewSession(other, session)).toMatchObject({ granted: true })
    await expireSession(other, session)
    // The session is ended with another of its leases.
    await grantTo(other, 'beside it', 'bob')
    expect((await acquire(other, 'guarded', 'bob')).granted).toBe(false)
    await guarded.query('COMMIT')
    expect(await grantTo(other, 'guarded', 'bob')).toBeGreaterThan(token)
  })

  const endings: [string, (session: string, name: string, token: number) => Promise<unknown>][] = [
    ['run out', (session) => expireSession(other, session)],
    ['been ended', (session) => endSession(other, session)],
    ['released it', (session, name, token) => releaseIn(other, session, name, token)],
    [
      'ended with another lease',
      async (session, name) => {
        await keepIn(other, session, `${name}'s other`, 'ada')
        await expireSession(other, session)
        await grantTo(other, `${name}'s other`, 'bob')
      },
    ],
  ]

  test.each(endings)('refuses one whose session has %s', async (ending, end) => {
    const name = `has ${ending}`
    const session = await openSession(other, 'ada')
    const token = await keepIn(other, session, name, 'ada')
    await end(session, name, token)
    expect(await failureOf(inTransaction(guarded, () => guard(guarded, name, token)))).toMatchObject({
      code: 'LE001',
    })
  })

  test('refuses late in a transaction in which it would have passed before', async () => {
    const session = await openSession(other, 'ada')
    const token = await keepIn(other, session, 'late', 'ada')
    await guarded.query('BEGIN')
    await guarded.query('SELECT now()')
    await expireSession(other, session)
    expect(await sqlStateOf(guard(guarded, 'late', token))).toBe('LE001')
  })

  test('fails under an old snapshot once another has the lease', async () => {
    const session = await openSession(other, 'ada')
    const token = await keepIn(other, session, 'old snapshot', 'ada')
    await guarded.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
    await guarded.query('SELECT count(*) FROM elect.leases')
    await expireSession(other, session)
    await grantTo(other, 'old snapshot', 'bob')
    expect(await sqlStateOf(guard(guarded, 'old snapshot', token))).toBe('40001')
  })

  test('does not mind that the lease moves into a session meanwhile, and out', async () => {
    const token = await grantTo(other, 'moved', 'ada')
    const session = await openSession(other, 'ada')
    await guarded.query('BEGIN')
    await guard(guarded, 'moved', token)
    expect((await renewIn(other, session, 'moved', token)).granted).toBe(true)
    await guard(guarded, 'moved', token)
    expect((await renewIn(other, null, 'moved', token)).granted).toBe(true)
    await guarded.query('COMMIT')
  })

  test('lets writes to a protected table through, and stops those of a session that has run out', async () => {
    await other.query('CREATE TABLE public.ledger (entry integer)')
    await other.query(`SELECT elect.protect_table('public.ledger', 'protected')`)
    const session = await openSession(other, 'ada')
    const token = await keepIn(other, session, 'protected', 'ada')
    await guarded.query('BEGIN')
    await guard(guarded, 'protected', token)
    await guarded.query('INSERT INTO public.ledger VALUES (1)')
    await guarded.query('COMMIT')
    await expireSession(other, session)
    await guarded.query('BEGIN')
    await guarded.query(`SELECT set_config('elect.tokens', $1, true)`, [JSON.stringify({ protected: token })])
    expect(await sqlStateOf(guard(guarded, 'protected', token))).toBe('LE001')
  })
})
