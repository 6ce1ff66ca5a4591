import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  grantTo,
  holderOf,
  inTransaction,
  nobodyKnown,
  oneRow,
  scalar,
  sqlStateOf,
  stored,
  swap,
  useDatabase,
} from './leases.ts'
import {
  acquireIn,
  expireSession,
  isThere,
  keeperOf,
  keepIn,
  openSession,
  renewIn,
  renewLate,
  renewSession,
} from './sessions.ts'

const database = useDatabase()
let client: pg.Client
let other: pg.Client
let third: pg.Client

beforeEach(async () => {
  for (const session of [client, other, third]) await session.query('ROLLBACK')
})

beforeAll(async () => {
  client = await database.connect()
  other = await database.connect()
  third = await database.connect()
})

/** A session of ada's that keeps these leases and has run out. */
async function runOut(...names: string[]): Promise<string> {
  const session = await openSession(client, 'ada')
  for (const name of names) await keepIn(client, session, name, 'ada')
  await expireSession(client, session)
  return session
}

/** A session that keeps the lease, has run out as all others see it, and is being renewed: nobody can know yet whether it goes on. */
async function whileRenewed(name: string, work: (session: string) => Promise<void>): Promise<void> {
  const session = await openSession(client, 'ada')
  await keepIn(client, session, name, 'ada')
  await client.query('BEGIN')
  try {
    await renewLate(client, other, session)
    expect(await holderOf(other, name)).toBeUndefined()
    // Whatever the others may do, none of them waits for it.
    await other.query("SET lock_timeout = '5s'; SET statement_timeout = '5s'")
    await work(session)
  } finally {
    await client.query('COMMIT')
  }
}

describe('taking over a lease of a session that has run out', () => {
  test('ends the session, so that no clock that goes back revives it', async () => {
    const session = await runOut('taken', 'also taken')
    await grantTo(other, 'taken', 'bob')
    expect(await isThere(client, session)).toBe(false)
    expect(await renewSession(client, session)).toMatchObject({ granted: false, mustReopen: false })
    expect(await holderOf(other, 'also taken')).toBeUndefined()
    await grantTo(other, 'also taken', 'eve')
  })

  test('leaves all as it was where it is rolled back', async () => {
    const session = await runOut('rolled back', 'beside it')
    await inTransaction(other, async () => {
      await grantTo(other, 'rolled back', 'bob')
      // The renewal does not wait for the end of that, and cannot know it.
      expect(await renewSession(client, session)).toMatchObject({ granted: null })
      expect(await acquire(third, 'beside it', 'eve')).toEqual(nobodyKnown)
      expect(await sqlStateOf(acquireIn(client, session, 'new', 'ada'))).toBe('LE004')
    })
    expect(await renewSession(client, session)).toMatchObject({ granted: false })
    await grantTo(third, 'beside it', 'eve')
    await grantTo(third, 'rolled back', 'eve')
  })

  const ways: [string, (name: string) => Promise<unknown>][] = [
    ['acquire_lease', async (name) => (await acquire(other, name, 'bob')).granted],
    [
      'acquire_leases',
      (name) =>
        scalar(other, `SELECT granted FROM elect.acquire_leases(ARRAY[$1], '{bob}', '{15 s}')`, [name]),
    ],
    [
      'acquire_queued',
      async (name) => {
        const granted = await scalar(other, `SELECT granted FROM elect.acquire_queued($1, 'bob')`, [name])
        await other.query('SELECT pg_advisory_unlock_all()')
        return granted
      },
    ],
    [
      'compare_and_swap',
      async (name) => {
        const asked = swap(other, name, 'bob', null)
        return (await sqlStateOf(asked)) === '55P03' ? false : asked
      },
    ],
    [
      'try_advisory_lock',
      async (name) => {
        const locked = await scalar(other, 'SELECT elect.try_advisory_lock($1)', [name])
        await other.query('SELECT pg_advisory_unlock_all()')
        return locked
      },
    ],
    ['try_advisory_xact_lock', (name) => scalar(other, 'SELECT elect.try_advisory_xact_lock($1)', [name])],
    [
      'advisory_lock',
      async (name) => {
        const locked = await scalar(other, 'SELECT elect.advisory_lock($1)', [name])
        await other.query('SELECT pg_advisory_unlock_all()')
        return locked
      },
    ],
  ]

  test.each(ways)('by %s ends it', async (way, take) => {
    const session = await runOut(`by ${way}`)
    expect(await take(`by ${way}`)).toBe(true)
    expect(await isThere(client, session)).toBe(false)
  })

  test.each(ways)('by %s is refused at once while the session is being renewed', async (way, take) => {
    const name = `renewed beside ${way}`
    await whileRenewed(name, async () => expect(await take(name)).toBe(false))
    expect(await holderOf(other, name)).toBe('ada')
    expect(await take(name)).toBe(false)
  })

  test('is refused while a lease is being bound to the session', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'bound before', 'ada')
    await inTransaction(client, async () => {
      await keepIn(client, session, 'being bound', 'ada')
      await expireSession(other, session)
      expect(await acquire(other, 'bound before', 'bob')).toEqual(nobodyKnown)
    })
    await grantTo(other, 'bound before', 'bob')
    expect(await renewSession(client, session)).toMatchObject({ granted: false })
  })

  test('does not hold up the renewals of one that goes on after all', async () => {
    const session = await openSession(client, 'ada')
    await keepIn(client, session, 'goes on', 'ada')
    await inTransaction(other, async () => {
      const text = `SELECT (elect.end_session_of(l, clock_timestamp())).session FROM elect.leases l WHERE name = 'goes on'`
      expect(await scalar(other, text)).toBe(session)
      expect(await renewSession(client, session)).toMatchObject({ granted: true })
    })
  })

  test.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'fails in a transaction at %s that saw it before it was renewed',
    async (isolation) => {
      const name = `seen at ${isolation}`
      const session = await openSession(client, 'ada', '300 milliseconds')
      await keepIn(client, session, name, 'ada')
      await inTransaction(
        other,
        async () => {
          await other.query('SELECT count(*) FROM elect.sessions')
          await renewSession(client, session)
          await other.query('SELECT pg_sleep(0.3)')
          await client.query(
            "UPDATE elect.sessions SET expires_at = expires_at + interval '1 minute' WHERE session = $1",
            [session],
          )
          expect(await sqlStateOf(acquire(other, name, 'bob'))).toBe('40001')
        },
        `BEGIN ISOLATION LEVEL ${isolation}`,
      )
      expect(await holderOf(other, name)).toBe('ada')
    },
  )
})

describe('a renewal of a session', () => {
  test('that has little time left does not wait for whoever is at it', async () => {
    const session = await openSession(client, 'ada', '100 milliseconds')
    await inTransaction(other, async () => {
      await other.query('SELECT FROM elect.sessions WHERE session = $1 FOR UPDATE', [session])
      expect(await renewSession(client, session)).toMatchObject({ granted: null })
    })
  })

  test('that has time waits a little', async () => {
    const session = await openSession(client, 'ada')
    await inTransaction(other, async () => {
      await other.query('SELECT FROM elect.sessions WHERE session = $1 FOR UPDATE', [session])
      expect(await sqlStateOf(renewSession(client, session))).toBe('55P03')
    })
    expect(await renewSession(client, session)).toMatchObject({ granted: true })
  })

  test('does not mind that leases are being bound to it, or guarded, or taken from it', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'busy', 'ada')
    await keepIn(client, session, 'busy too', 'ada')
    await inTransaction(other, async () => {
      await other.query('SELECT elect.assert_lease($1, $2)', ['busy', token])
      await keepIn(other, session, 'bound meanwhile', 'ada')
      await other.query(`SELECT elect.force_release('busy too', 'a test')`)
      expect(await renewSession(client, session)).toMatchObject({ granted: true, lost: [] })
    })
  })

  test('waits for a lease that leaves the session, so that it promises no time for that', async () => {
    const session = await openSession(client, 'ada')
    const token = await keepIn(client, session, 'leaves', 'ada')
    await inTransaction(other, async () => {
      await renewIn(other, null, 'leaves', token, '1 second')
      expect(await sqlStateOf(renewSession(client, session))).toBe('55P03')
    })
    const pid = await backendPid(other)
    await client.query('BEGIN')
    await renewSession(client, session)
    const leaving = sqlStateOf(renewIn(other, null, 'leaves', token, '1 second'))
    await whenBlocked(third, pid)
    await client.query('COMMIT')
    expect(await leaving).toBe('00000')
    expect((await stored(client, 'leaves')).given).toMatch(/^00:00:1[45]/)
  })
})

test('a lease that is asked for again from outside its session, and all that looks at it, tells one story', async () => {
  const session = await openSession(client, 'ada', '1 minute')
  const token = await keepIn(client, session, 'one story', 'ada')
  expect(await acquire(client, 'one story', 'ada', '1 second')).toMatchObject({ granted: true, token })
  expect(await keeperOf(client, 'one story')).toBeNull()
  expect(await renewSession(client, session)).toMatchObject({ granted: true, lost: [['one story', token]] })
  expect(await acquireIn(client, session, 'one story', 'ada')).toMatchObject({ granted: true, token })
  expect(await renewSession(client, session)).toMatchObject({ granted: true, lost: [] })
  const { holder } = await oneRow<{ holder: string }>(
    other,
    `SELECT holder FROM elect.get_lease('one story')`,
  )
  expect(holder).toBe('ada')
})
