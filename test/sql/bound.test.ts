import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  failureOf,
  grantColumns,
  grantTo,
  guard,
  inTransaction,
  nobodyKnown,
  oneRow,
  release,
  renew,
  scalar,
  stored,
  transfer,
  useDatabase,
} from './leases.ts'
import { type Answer, endTerm, inTime, lineOf, locksOf, standAll } from './line.ts'

const database = useDatabase()
let taker: pg.Client
let other: pg.Client
let observer: pg.Client

beforeAll(async () => {
  taker = await database.connect()
  other = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  for (const session of [taker, other]) {
    await session.query('ROLLBACK')
    await session.query('SELECT pg_advisory_unlock_all()')
  }
})

function bind(session: pg.Client, name: string, token: number, longest = '1 second'): Promise<boolean> {
  return scalar(session, 'SELECT elect.bind_lease($1, $2, $3)', [name, token, longest])
}

/** A place in line, whatever becomes of the lease: for the owner's eyes. */
async function standHere(name: string, holder: string): Promise<void> {
  const text = `INSERT INTO elect.candidates
      (lease, candidate, priority, is_exclusive, ttl, backend, arrived_at, seen_at, expires_at)
    SELECT $1, $2, 0, true, '1 hour', 0, at, at, at + '1 hour' FROM clock_timestamp() AS at
    ON CONFLICT DO NOTHING`
  await observer.query(text, [name, holder])
}

async function takeOver(
  session: pg.Client,
  name: string,
  holder: string,
  longest = '1 second',
): Promise<Answer> {
  await standHere(name, holder)
  return waitForEnd(session, name, holder, longest)
}

function waitForEnd(session: pg.Client, name: string, holder: string, longest = '1 second'): Promise<Answer> {
  const text = `SELECT ${grantColumns}, rank
    FROM elect.take_over(name => $1, holder => $2, ttl => '1 hour', metadata => '"new"', longest => $3)`
  return oneRow(session, text, [name, holder, longest])
}

const isBound = (name: string) =>
  scalar<boolean>(observer, 'SELECT is_bound FROM elect.leases WHERE name = $1', [name])

/** A session that the lease of ada's is bound to. */
async function boundSession(name: string): Promise<{ session: pg.Client; token: number }> {
  const session = await database.connect()
  const token = await grantTo(session, name, 'ada', '1 hour')
  expect(await bind(session, name, token)).toBe(true)
  return { session, token }
}

/** Ends the session from outside, as a crash of its process would, and returns when it is gone. */
async function end(session: pg.Client): Promise<void> {
  await observer.query('SELECT pg_terminate_backend($1, 10000)', [await backendPid(session)])
}

describe('bind_lease', () => {
  test('binds a held lease, and changes nothing else', async () => {
    const token = await grantTo(other, 'bound', 'ada')
    const before = await stored(other, 'bound')
    expect(await isBound('bound')).toBe(false)
    expect(await bind(other, 'bound', token)).toBe(true)
    expect(await isBound('bound')).toBe(true)
    expect(await stored(other, 'bound')).toEqual({ ...before, version: before.version + 1 })
    await renew(other, 'bound', token)
    expect(await isBound('bound')).toBe(true)
  })

  test('refuses what is not held with that token, and keeps no lock', async () => {
    const token = await grantTo(other, 'not held', 'ada')
    const before = await stored(other, 'not held')
    expect(await bind(other, 'not held', token + 1)).toBe(false)
    expect(await bind(other, 'never was', token)).toBe(false)
    expect(await stored(other, 'not held')).toEqual(before)
    await endTerm(observer, 'not held')
    expect(await bind(other, 'not held', token)).toBe(false)
    expect(await isBound('not held')).toBe(false)
    expect(await locksOf(other)).toBe(0)
  })

  test('refuses while the session of the last holder is up', async () => {
    const { session, token } = await boundSession('last holder')
    const next = await transfer(session, 'last holder', token, 'bob')
    expect(await bind(other, 'last holder', Number(next.token), '1 millisecond')).toBe(false)
    expect(await isBound('last holder')).toBe(false)
    await end(session)
    expect(await bind(other, 'last holder', Number(next.token))).toBe(true)
  })

  test('keeps no lock where it fails', async () => {
    const token = await grantTo(other, 'failing', 'ada')
    await inTransaction(observer, async () => {
      await observer.query("SELECT FROM elect.leases WHERE name = 'failing' FOR UPDATE")
      await other.query("SET statement_timeout = '100ms'")
      expect((await failureOf(bind(other, 'failing', token))).code).toBe('57014')
      await other.query('RESET statement_timeout')
    })
    expect(await locksOf(other)).toBe(0)
  })
})

describe('take_over', () => {
  test('grants nothing to one that does not stand in line', async () => {
    const { session, token } = await boundSession('no place')
    await end(session)
    expect(await waitForEnd(taker, 'no place', 'bob')).toMatchObject({ granted: false, holder: 'ada', token })
    expect(await stored(observer, 'no place')).toMatchObject({ holder: 'ada', token })
  })

  test('grants nothing to one that has left while it waited in the server', async () => {
    const { session, token } = await boundSession('left')
    await standHere('left', 'bob')
    const takerPid = await backendPid(taker)
    const waiting = waitForEnd(taker, 'left', 'bob')
    await whenBlocked(observer, takerPid)
    await observer.query("SELECT elect.leave_queue('left', 'bob')")
    await end(session)
    expect(await waiting).toMatchObject({ granted: false, holder: 'ada', token })
  })

  test('grants the lease at once when the session has ended, under a larger token', async () => {
    const { session, token } = await boundSession('ended')
    await end(session)
    const grant = await takeOver(taker, 'ended', 'bob')
    expect(grant).toMatchObject({ granted: true, holder: 'bob', metadata: 'new', expiresInMs: 3_600_000 })
    expect(grant.token).toBeGreaterThan(token)
    expect((await failureOf(guard(other, 'ended', token))).code).toBe('LE001')
    expect(await renew(other, 'ended', token)).toMatchObject({ granted: false, holder: 'bob' })
  })

  test('waits for that', async () => {
    await inTime(async (attempt) => {
      const name = `waits ${attempt}`
      const { session } = await boundSession(name)
      const pid = await backendPid(taker)
      const sessionPid = await backendPid(session)
      const grant = takeOver(taker, name, 'bob')
      await whenBlocked(observer, pid)
      await observer.query('SELECT pg_terminate_backend($1)', [sessionPid])
      const { granted, holder } = await grant
      if (granted !== true) return undefined
      expect(holder).toBe('bob')
      return true
    })
  })

  test('binds the lease to its own session, so that the next one can take over from it', async () => {
    const { session } = await boundSession('chain')
    await end(session)
    const second = await database.connect()
    const { token } = await takeOver(second, 'chain', 'bob')
    expect(await isBound('chain')).toBe(true)
    expect(await takeOver(taker, 'chain', 'carol', '1 millisecond')).toMatchObject({
      granted: false,
      holder: 'bob',
    })
    await end(second)
    const grant = await takeOver(taker, 'chain', 'carol')
    expect(grant).toMatchObject({ granted: true, holder: 'carol' })
    expect(grant.token).toBeGreaterThan(Number(token))
  })

  test('is refused while the session is up', async () => {
    const { token } = await boundSession('up')
    const before = await stored(observer, 'up')
    expect(await takeOver(taker, 'up', 'bob', '1 millisecond')).toMatchObject({
      granted: false,
      holder: 'ada',
      token,
    })
    expect(await stored(observer, 'up')).toEqual(before)
    expect(await locksOf(taker)).toBe(0)
  })

  test('is refused to others in the session that the lease is bound to, which is up', async () => {
    const { session, token } = await boundSession('same session')
    expect(await takeOver(session, 'same session', 'bob')).toMatchObject({
      granted: false,
      holder: 'ada',
      token,
    })
    // The session still has its lock, and has it once.
    expect(await takeOver(taker, 'same session', 'bob', '1 millisecond')).toMatchObject({ granted: false })
    await end(session)
    expect(await takeOver(taker, 'same session', 'bob')).toMatchObject({ granted: true })
  })

  test.each([
    ['not bound', async (_name: string) => {}],
    [
      'bound by an earlier holder',
      async (name: string, token: number, session: pg.Client) => {
        await bind(session, name, token)
        await transfer(session, name, token, 'eve')
        expect(await isBound(name)).toBe(false)
      },
    ],
    [
      'granted anew to the same holder after its release',
      async (name: string, token: number, session: pg.Client) => {
        await bind(session, name, token)
        await release(session, name, token)
        await grantTo(session, name, 'ada', '1 hour')
        expect(await isBound(name)).toBe(false)
      },
    ],
    [
      'handed to one in line',
      async (name: string, token: number, session: pg.Client) => {
        await bind(session, name, token)
        await standAll(session, name, 'eve')
        await release(session, name, token)
        expect(await isBound(name)).toBe(false)
      },
    ],
  ])('is refused where the lease is %s', async (what, prepare) => {
    const name = `unbound: ${what}`
    const session = await database.connect()
    await prepare(name, await grantTo(session, name, 'ada', '1 hour'), session)
    await end(session)
    const before = await stored(observer, name)
    expect(await takeOver(taker, name, 'bob')).toMatchObject({ granted: false })
    expect(await stored(observer, name)).toEqual(before)
    expect(await locksOf(taker)).toBe(0)
  })

  test('is refused where nobody holds the lease: then it is there to be acquired', async () => {
    expect(await takeOver(taker, 'never was', 'bob')).toEqual({ ...nobodyKnown, rank: null })
    const { session } = await boundSession('expired')
    await end(session)
    await endTerm(observer, 'expired')
    expect(await takeOver(taker, 'expired', 'bob')).toEqual({ ...nobodyKnown, rank: null })
    expect(await locksOf(taker)).toBe(0)
    await grantTo(taker, 'expired', 'bob')
  })

  test('lets those in line go before', async () => {
    const { session } = await boundSession('line')
    await standAll(other, 'line', 'bob', 'carol')
    await end(session)
    for (const later of ['eve', 'carol']) {
      expect(await takeOver(taker, 'line', later)).toMatchObject({ granted: false, holder: 'ada' })
      expect(await locksOf(taker)).toBe(0)
    }
    expect(await takeOver(taker, 'line', 'bob')).toMatchObject({ granted: true, holder: 'bob' })
    expect(await lineOf(observer, 'line')).toEqual(['carol', 'eve'])
  })

  test('of a share is refused: there would be one more than its capacity', async () => {
    const session = await database.connect()
    const share = await oneRow<{ lease: string; token: number }>(
      session,
      "SELECT lease, token::float8 FROM elect.acquire_share('pool', 'ada', capacity => 1)",
    )
    await bind(session, share.lease, share.token)
    await end(session)
    const { code, message, hint } = await failureOf(takeOver(taker, share.lease, 'bob'))
    expect({ code, message }).toEqual({
      code: '22023',
      message: `Lease ${share.lease} is a share of pool, which cannot be taken over`,
    })
    expect(hint).toMatch(/share of your own/)
    expect(await locksOf(taker)).toBe(0)
    expect(await stored(observer, share.lease)).toMatchObject({ holder: 'ada', token: share.token })
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])('is refused at %s', async (level) => {
    await inTransaction(
      taker,
      async () => expect((await failureOf(takeOver(taker, 'isolated', 'bob'))).code).toBe('25000'),
      `BEGIN ISOLATION LEVEL ${level}`,
    )
  })
})

describe('a guarded transaction of the old holder that is still open in another session', () => {
  test('keeps the taker out', async () => {
    const { session, token } = await boundSession('guarded')
    await other.query('BEGIN')
    await guard(other, 'guarded', token)
    await end(session)
    expect(await takeOver(taker, 'guarded', 'bob')).toEqual({ ...nobodyKnown, rank: null })
    expect(await locksOf(taker)).toBe(0)
    await taker.query("SET statement_timeout = '100ms'")
    expect((await failureOf(takeOver(taker, 'guarded', 'bob'))).code).toBe('57014')
    await taker.query('RESET statement_timeout')
    expect(await locksOf(taker)).toBe(0)
    // It commits as the leader that it is.
    await other.query('COMMIT')
    expect(await takeOver(taker, 'guarded', 'bob')).toMatchObject({ granted: true })
  })

  test('is waited for', async () => {
    await inTime(async (attempt) => {
      const name = `guard ends ${attempt}`
      const { session, token } = await boundSession(name)
      await other.query('BEGIN')
      await guard(other, name, token)
      await end(session)
      const pid = await backendPid(taker)
      const grant = takeOver(taker, name, 'bob')
      await whenBlocked(observer, pid)
      await other.query('COMMIT')
      const { granted } = await grant
      return granted === true ? true : undefined
    })
  })
})
