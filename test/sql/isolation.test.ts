import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  type Grant,
  grantTo,
  guard,
  holderOf,
  inTransaction,
  release,
  renew,
  sqlStateOf,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
/** The session whose transaction looks at the past. */
let late: pg.Client
let other: pg.Client

beforeAll(async () => {
  late = await database.connect()
  other = await database.connect()
})

/** The answer, or the SQLSTATE of the failure. */
async function answerOf(call: Promise<Grant>): Promise<boolean | null | string | undefined> {
  const state = await sqlStateOf(call)
  return state === '00000' ? (await call).granted : state
}

// Both levels see the database as it was at their first statement. An answer from that past is no right answer, and
// whoever asks is told to try again.
describe.each(['REPEATABLE READ', 'SERIALIZABLE'])('at %s', (level) => {
  const named = (name: string) => `${name}, ${level}`

  /** Runs the call in a transaction that saw the database before what happens meanwhile. */
  async function inThePast<Answer>(
    meanwhile: () => Promise<unknown>,
    call: () => Promise<Answer>,
  ): Promise<Answer> {
    return inTransaction(
      late,
      async () => {
        await late.query('SELECT count(*) FROM elect.leases')
        await meanwhile()
        return call()
      },
      `BEGIN ISOLATION LEVEL ${level}`,
    )
  }

  test('without anything happening meanwhile, all is as usual', async () => {
    const name = named('usual')
    await late.query(`BEGIN ISOLATION LEVEL ${level}`)
    const token = await grantTo(late, name, 'ada')
    expect((await renew(late, name, token)).granted).toBe(true)
    await guard(late, name, token)
    await late.query('COMMIT')
    expect(await acquire(other, name, 'bob')).toMatchObject({ granted: false, holder: 'ada', token })
  })

  test('a lease that was taken over meanwhile is not granted again', async () => {
    const name = named('taken over')
    await grantTo(other, name, 'ada', '100 milliseconds')
    await untilExpired(other, name)
    const answer = await inThePast(
      () => grantTo(other, name, 'bob'),
      () => answerOf(acquire(late, name, 'eve')),
    )
    expect(answer).toBe('40001')
  })

  test('a lease that was granted for the first time meanwhile is not granted again', async () => {
    const name = named('first')
    const answer = await inThePast(
      () => grantTo(other, name, 'bob'),
      () => answerOf(acquire(late, name, 'eve')),
    )
    expect(answer).toBe('40001')
    expect(await holderOf(other, name)).toBe('bob')
  })

  test.each([
    ['compare_and_swap', "SELECT elect.compare_and_swap($1, 'eve', NULL)"],
    ['compare_and_swap_version', "SELECT elect.compare_and_swap_version($1, 'eve', 0)"],
  ])('%s does not store beside a value that was stored for the first time meanwhile', async (what, call) => {
    const name = named(what)
    const answer = await inThePast(
      () => grantTo(other, name, 'bob'),
      () => sqlStateOf(late.query(call, [name])),
    )
    expect(answer).toBe('40001')
    expect(await holderOf(other, name)).toBe('bob')
  })

  test.each(['try_advisory_lock', 'try_advisory_xact_lock'])(
    '%s is refused, since a lease of that name may be hidden from it',
    async (lock) => {
      const answer = await inThePast(
        () => grantTo(other, named(lock), 'bob'),
        () => sqlStateOf(late.query(`SELECT elect.${lock}($1)`, [named(lock)])),
      )
      expect(answer).toBe('25000')
    },
  )

  test('a guard after a release is refused, though it cannot see the release', async () => {
    const name = named('released before')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      () => other.query('SELECT elect.release_lease($1, $2)', [name, token]),
      () => sqlStateOf(guard(late, name, token)),
    )
    expect(answer).toBe('40001')
  })

  test('a guard after a release beside another guard, which it cannot see, keeps the next holder out', async () => {
    const name = named('released unseen')
    const token = await grantTo(other, name, 'ada')
    const beside = await database.connect()
    await beside.query('BEGIN')
    await guard(beside, name, token)
    const next = await inThePast(
      () => other.query('SELECT elect.release_lease($1, $2)', [name, token]),
      async () => {
        await guard(late, name, token)
        await beside.query('COMMIT')
        return acquire(other, name, 'bob')
      },
    )
    expect(next.granted).toBe(false)
    expect((await acquire(other, name, 'bob')).granted).toBe(true)
  })

  test('a lease that was renewed meanwhile is not granted to another when its old time is over', async () => {
    const name = named('renewed')
    const token = await grantTo(other, name, 'ada', '150 milliseconds')
    const answer = await inThePast(
      async () => {
        await renew(other, name, token, '1 hour')
        // As the old snapshot has it.
        await late.query('SELECT pg_sleep_until(expires_at) FROM elect.leases WHERE name = $1', [name])
      },
      () => answerOf(acquire(late, name, 'eve')),
    )
    expect(answer).toBe('40001')
  })

  test('a lease that was lost meanwhile is not renewed', async () => {
    const name = named('lost')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      () => transfer(other, name, token, 'bob'),
      () => answerOf(renew(late, name, token)),
    )
    expect(answer).toBe('40001')
  })

  test('a lease that was released meanwhile is not renewed', async () => {
    const name = named('released')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      () => release(other, name, token),
      () => answerOf(renew(late, name, token)),
    )
    expect(answer).toBe('40001')
  })

  test('a stale leader is not let through by the guard', async () => {
    const name = named('stale')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      () => transfer(other, name, token, 'bob'),
      () => sqlStateOf(guard(late, name, token)),
    )
    expect(answer).toBe('40001')
  })

  test('nor is one whose lease was released and granted to another', async () => {
    const name = named('released and granted')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      async () => {
        await release(other, name, token)
        await grantTo(other, name, 'bob')
      },
      () => sqlStateOf(guard(late, name, token)),
    )
    expect(answer).toBe('40001')
  })

  test('a guard whose lease was renewed meanwhile holds, or is told to try again', async () => {
    const name = named('guarded')
    const token = await grantTo(other, name, 'ada')
    const answer = await inThePast(
      () => renew(other, name, token),
      () => sqlStateOf(guard(late, name, token)),
    )
    expect(['00000', '40001']).toContain(answer)
  })

  test('a guard that passes keeps the next one out, whatever the past that it sees', async () => {
    const name = named('kept out')
    const token = await grantTo(other, name, 'ada')
    await inThePast(
      () => release(other, name, token),
      async () => {
        const passed = (await sqlStateOf(guard(late, name, token))) === '00000'
        expect((await acquire(other, name, 'bob')).granted).toBe(!passed)
      },
    )
  })

  test('two that look at the same past: at most one is granted', async () => {
    const third = await database.connect()
    for (let round = 0; round < 30; round += 1) {
      const name = named(`race ${round}`)
      const both = [late, third]
      await Promise.all(both.map((session) => session.query(`BEGIN ISOLATION LEVEL ${level}`)))
      await Promise.all(both.map((session) => session.query('SELECT count(*) FROM elect.leases')))
      const granted = await Promise.all(
        both.map(async (session, index) => {
          const answer = await answerOf(acquire(session, name, `contender ${index}`))
          return answer === true && (await sqlStateOf(session.query('COMMIT'))) === '00000'
        }),
      )
      await Promise.all(both.map((session) => session.query('ROLLBACK')))
      expect(granted.filter(Boolean).length).toBeLessThanOrEqual(1)
    }
  })
})
