import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  eventually,
  failureOf,
  grantColumns,
  grantTo,
  guard,
  inTransaction,
  nobodyKnown,
  oneRow,
  release,
  scalar,
  stored,
  useDatabase,
} from './leases.ts'
import { type Answer, crowd, endTerm, inTime, locksOf, stand } from './line.ts'

const database = useDatabase()
let first: pg.Client
let second: pg.Client
let third: pg.Client
let observer: pg.Client

beforeAll(async () => {
  first = await database.connect()
  second = await database.connect()
  third = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  for (const session of [first, second, third]) {
    await session.query('ROLLBACK')
    await session.query('SELECT pg_advisory_unlock_all()')
  }
})

function queue(session: pg.Client, name: string, holder: string, longest = '1 second'): Promise<Answer> {
  const text = `SELECT ${grantColumns}, rank
    FROM elect.acquire_queued(name => $1, holder => $2, ttl => '1 hour', longest => $3)`
  return oneRow(session, text, [name, holder, longest])
}

async function queueUp(session: pg.Client, name: string, holder: string): Promise<number> {
  const { granted, token } = await queue(session, name, holder)
  if (granted !== true || token === null) throw new Error(`${name} was not granted to ${holder}`)
  return token
}

function leaveTo(session: pg.Client, name: string, token: number): Promise<boolean> {
  return scalar(session, 'SELECT elect.release_queued($1, $2)', [name, token])
}

describe('acquire_queued', () => {
  test('grants a vacant lease, which the session keeps with the lock of its name', async () => {
    const token = await queueUp(first, 'vacant', 'ada')
    expect(await stored(observer, 'vacant')).toMatchObject({ holder: 'ada', token, given: '01:00:00' })
    expect(await locksOf(first)).toBe(1)
    expect(await leaveTo(first, 'vacant', token)).toBe(true)
    expect(await locksOf(first)).toBe(0)
    expect(await stored(observer, 'vacant')).toMatchObject({ holder: null, token })
  })

  test('lets those who wait in one after the other, as they came', async () => {
    await inTime(async (attempt) => {
      const name = `in order ${attempt}`
      const token = await queueUp(first, name, 'ada')
      const pids = [await backendPid(second), await backendPid(third)] as const
      const bob = queue(second, name, 'bob')
      const carol = bob.then(async (grant) => {
        // Still waiting: it came later.
        const waits = await scalar<boolean>(
          observer,
          'SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)',
          [pids[1]],
        )
        return { grant, waits }
      })
      await whenBlocked(observer, pids[0])
      const last = queue(third, name, 'carol')
      await whenBlocked(observer, pids[1])
      await leaveTo(first, name, token)
      const { grant, waits } = await carol
      if (grant.granted !== true) return void (await last)
      await leaveTo(second, name, Number(grant.token))
      const next = await last
      await second.query('SELECT pg_advisory_unlock_all()')
      if (!waits || next.granted !== true) return undefined
      expect(grant.token).toBeGreaterThan(token)
      expect(next.token).toBeGreaterThan(Number(grant.token))
      return true
    })
  })

  test('waits for a release that is being committed', async () => {
    await inTime(async (attempt) => {
      const name = `committing ${attempt}`
      const token = await queueUp(first, name, 'ada')
      await first.query('BEGIN')
      await leaveTo(first, name, token)
      const pid = await backendPid(second)
      const grant = queue(second, name, 'bob')
      await whenBlocked(observer, pid)
      await first.query('COMMIT')
      const { granted, holder } = await grant
      if (granted !== true) return undefined
      expect(holder).toBe('bob')
      return true
    })
  })

  test('in time or not, tells who has the lease', async () => {
    const token = await queueUp(first, 'not in time', 'ada')
    expect(await queue(second, 'not in time', 'bob', '1 millisecond')).toMatchObject({
      granted: false,
      holder: 'ada',
      token,
    })
    expect(await locksOf(second)).toBe(0)
    expect(await scalar(second, 'SHOW lock_timeout')).toBe('0')
  })

  test('grants what its session has left behind only after the expiry', async () => {
    const session = await database.connect()
    const token = await queueUp(session, 'left behind', 'ada')
    await observer.query('SELECT pg_terminate_backend($1, 5000)', [await backendPid(session)])
    expect(await queue(second, 'left behind', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    await endTerm(observer, 'left behind')
    expect(await queueUp(second, 'left behind', 'bob')).toBeGreaterThan(token)
  })

  test('extends what its holder has already', async () => {
    const token = await grantTo(first, 'own', 'ada', '1 minute')
    expect(await queue(first, 'own', 'ada')).toMatchObject({ granted: true, token, expiresInMs: 3_600_000 })
  })

  test('asked again by its holder, after a lost answer, is given back by one release', async () => {
    const token = await queueUp(first, 'again', 'ada')
    expect(await queueUp(first, 'again', 'ada')).toBe(token)
    expect(await locksOf(first)).toBe(1)
    expect(await leaveTo(first, 'again', token)).toBe(true)
    expect(await locksOf(first)).toBe(0)
    expect(await acquire(second, 'again', 'bob')).toMatchObject({ granted: true })
  })

  test('lets those in line go before', async () => {
    await grantTo(first, 'line', 'ada')
    await stand(first, 'line', 'bob')
    await crowd(observer, 'line')
    await first.query("SELECT elect.force_release('line', 'a test')")
    expect(await queue(second, 'line', 'eve')).toEqual({ ...nobodyKnown, rank: null })
    expect(await locksOf(second)).toBe(0)
    expect(await queue(third, 'line', 'bob')).toMatchObject({ granted: true })
  })
})

describe('a queued lease, other leases and advisory locks of one name exclude each other', () => {
  test('a lease that is held otherwise is refused, and the lock is given back', async () => {
    const token = await grantTo(first, 'held', 'ada')
    expect(await queue(second, 'held', 'bob')).toMatchObject({ granted: false, holder: 'ada', token })
    expect(await locksOf(second)).toBe(0)
    expect(await release(first, 'held', token)).toBe(true)
    await queueUp(second, 'held', 'bob')
  })

  test('nobody else gets a queued lease', async () => {
    const token = await queueUp(first, 'queued', 'ada')
    expect(await acquire(second, 'queued', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    expect(await stand(second, 'queued', 'bob')).toMatchObject({ granted: false, rank: 0 })
    expect(await scalar(third, "SELECT elect.try_advisory_lock('queued')")).toBe(false)
    expect(await scalar(third, "SELECT elect.advisory_lock('queued', '1 millisecond')")).toBe(false)
    expect(await leaveTo(first, 'queued', token)).toBe(true)
    // To the one in line, like any release.
    expect(await stored(observer, 'queued')).toMatchObject({ holder: 'bob', given: '00:00:02' })
  })

  test('a mutex keeps it out', async () => {
    await first.query("SELECT elect.try_advisory_lock('mutex')")
    expect(await queue(second, 'mutex', 'bob', '1 millisecond')).toEqual({ ...nobodyKnown, rank: null })
    await first.query("SELECT elect.advisory_unlock('mutex')")
    await queueUp(second, 'mutex', 'bob')
  })
})

describe('release_queued', () => {
  test('lets the next one in when it can be seen, not before', async () => {
    const token = await queueUp(first, 'in a transaction', 'ada')
    await first.query('BEGIN')
    expect(await leaveTo(first, 'in a transaction', token)).toBe(true)
    expect(await locksOf(first)).toBe(1)
    expect(await queue(second, 'in a transaction', 'bob', '1 millisecond')).toMatchObject({
      granted: false,
      holder: 'ada',
      token,
    })
    await first.query('COMMIT')
    expect(await locksOf(first)).toBe(0)
    await queueUp(second, 'in a transaction', 'bob')
  })

  test('of a lease that is not held any more lets the next one in all the same', async () => {
    const token = await queueUp(first, 'lost', 'ada')
    await observer.query("SELECT elect.force_release('lost', 'a test')")
    expect(await leaveTo(first, 'lost', token)).toBe(false)
    expect(await locksOf(first)).toBe(0)
    await queueUp(second, 'lost', 'bob')
  })

  test("of what was never queued here takes no lock, and is in nobody's way", async () => {
    await first.query('BEGIN')
    expect(await leaveTo(first, 'never queued', 777)).toBe(false)
    expect(await locksOf(first)).toBe(0)
    await grantTo(second, 'never queued', 'bob')
  })
})

describe('an error leaves no lock behind that the call has taken', () => {
  test('the name of something shared', async () => {
    await first.query("SELECT elect.acquire_share('shared', 'ada')")
    const failure = await failureOf(queue(second, 'shared', 'bob'))
    expect({ code: failure.code, message: failure.message }).toEqual({
      code: '22023',
      message: 'Invalid lease name: shared is the name of a shared lease',
    })
    expect(await locksOf(second)).toBe(0)
  })

  test('the end of the time for a statement', async () => {
    const token = await grantTo(first, 'canceled', 'ada')
    await inTransaction(first, async () => {
      // A guarded transaction that is still open after the release is waited for at the row, with the lock.
      await guard(first, 'canceled', token)
      await release(third, 'canceled', token)
      await second.query("SET statement_timeout = '100ms'")
      expect((await failureOf(queue(second, 'canceled', 'bob'))).code).toBe('57014')
      await second.query('RESET statement_timeout')
      expect(await locksOf(second)).toBe(0)
    })
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])('a transaction at %s', async (level) => {
    await inTransaction(
      second,
      async () => expect((await failureOf(queue(second, 'isolated', 'bob'))).code).toBe('25000'),
      `BEGIN ISOLATION LEVEL ${level}`,
    )
    expect(await locksOf(second)).toBe(0)
  })

  test('and one that the session had before stays', async () => {
    await first.query("SELECT elect.try_advisory_lock('before')")
    expect((await failureOf(queue(first, 'before', 'ada', '2 seconds'))).code).toBe('22023')
    expect(await locksOf(first)).toBe(1)
    expect(await scalar(second, "SELECT elect.try_advisory_lock('before')")).toBe(false)
  })
})

test('while a guarded transaction of the last holder is open, the lease is refused and the lock given back', async () => {
  const token = await queueUp(first, 'guarded', 'ada')
  await inTransaction(third, async () => {
    await guard(third, 'guarded', token)
    expect(await leaveTo(first, 'guarded', token)).toBe(true)
    expect(await queue(second, 'guarded', 'bob')).toEqual({ ...nobodyKnown, rank: null })
    expect(await locksOf(second)).toBe(0)
  })
  await eventually(async () => (await queue(second, 'guarded', 'bob')).granted === true)
})
