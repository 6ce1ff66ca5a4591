import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { failureOf, guard, release, renew, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { expire, type Share, share, sharersOf, shareTo, standTo } from './shares.ts'

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
  await other.query('ROLLBACK')
})

const writing = { exclusive: true }

/** Grants a share to ada and opens a transaction that is guarded by it. */
async function openGuard(name: string, wish = {}): Promise<Share> {
  const granted = await shareTo(guarded, name, 'ada', wish)
  await guarded.query('BEGIN')
  await guard(guarded, granted.lease, granted.token)
  return granted
}

/** The ways in which a share can end before its guarded transaction does. */
const endings: [string, (share: Share) => Promise<unknown>][] = [
  ['released', ({ lease, token }) => release(other, lease, token)],
  ['expired', ({ lease }) => expire(other, lease)],
]

describe.each(endings)('a share that is %s while its guarded transaction is open', (ending, end) => {
  test('never is a writer beside an open guarded read', async () => {
    const name = `read ${ending}`
    await end(await openGuard(name))
    expect(await sharersOf(other, name)).toEqual([])
    expect((await share(other, name, 'writer', writing)).granted).toBe(false)
    expect(await standTo(other, name, 'writer', writing)).toBe(0)
    await guarded.query('COMMIT')
    await shareTo(other, name, 'writer', writing)
    expect(await sharersOf(other, name)).toEqual(['writer'])
  })

  test('nor a reader or a writer beside an open guarded write', async () => {
    const name = `write ${ending}`
    await end(await openGuard(name, writing))
    expect((await share(other, name, 'reader')).granted).toBe(false)
    expect((await share(other, name, 'writer', writing)).granted).toBe(false)
    await guarded.query('COMMIT')
    await shareTo(other, name, 'reader')
  })

  test('nor anybody in its room of a semaphore', async () => {
    const name = `permit ${ending}`
    await end(await openGuard(name, { capacity: 2 }))
    await shareTo(other, name, 'bob')
    expect((await share(other, name, 'eve')).granted).toBe(false)
    expect(await standTo(other, name, 'eve')).toBe(0)
    // Neither does a change of the capacity, nor a release of another, count the room as free.
    await other.query('SELECT elect.set_capacity($1, 2)', [name])
    expect(await sharersOf(other, name)).toEqual(['bob'])
    await guarded.query('COMMIT')
    await shareTo(other, name, 'eve')
    expect(await sharersOf(other, name)).toEqual(['bob', 'eve'])
  })

  test('readers come in beside an open guarded read', async () => {
    const name = `beside ${ending}`
    await end(await openGuard(name))
    await shareTo(other, name, 'bob')
  })

  test('its holder may come back for another share, in a new transaction', async () => {
    const name = `back ${ending}`
    const { token } = await openGuard(name).then(async (granted) => {
      await end(granted)
      return granted
    })
    expect((await shareTo(other, name, 'ada')).token).toBeGreaterThan(token)
  })

  test('new guards of it are refused', async () => {
    const name = `refused ${ending}`
    const { lease, token } = await openGuard(name)
    await end({ lease, token })
    expect(await sqlStateOf(guard(other, lease, token))).toBe('LE001')
    await guarded.query('COMMIT')
    await shareTo(other, name, 'writer', writing)
    expect(await sqlStateOf(guard(other, lease, token))).toBe('LE001')
  })

  test('no row of it is left once it has ended', async () => {
    const name = `left ${ending}`
    const { lease } = await openGuard(name).then(async (granted) => {
      await end(granted)
      return granted
    })
    await other.query("SELECT elect.prune_leases('0 seconds')")
    expect(await rowsOf(other, 'SELECT FROM elect.leases WHERE name = $1', [lease])).toHaveLength(1)
    await guarded.query('COMMIT')
    await other.query("SELECT elect.prune_leases('0 seconds')")
    expect(await rowsOf(other, 'SELECT FROM elect.leases WHERE name = $1', [lease])).toEqual([])
  })
})

test('a guard passes while the share is held, beside renewals and other guards', async () => {
  const { lease, token } = await openGuard('passes')
  expect((await renew(other, lease, token)).granted).toBe(true)
  expect(await share(other, 'passes', 'ada')).toMatchObject({ granted: true, token })
  await guard(other, lease, token)
})

test('a guard under a token of before is refused', async () => {
  const first = await shareTo(other, 'stale', 'ada', writing)
  await release(other, first.lease, first.token)
  const second = await shareTo(other, 'stale', 'bob', writing)
  expect(await failureOf(guard(other, first.lease, first.token))).toMatchObject({ code: 'LE001' })
  expect(await failureOf(guard(other, second.lease, first.token))).toMatchObject({ code: 'LE001' })
  await guard(other, second.lease, second.token)
})

test('a release by the guarded transaction itself takes effect as it commits', async () => {
  const { lease, token } = await openGuard('own', writing)
  expect(await release(guarded, lease, token)).toBe(true)
  expect((await share(other, 'own', 'bob')).granted).toBe(false)
  await guarded.query('COMMIT')
  await shareTo(other, 'own', 'bob')
})

test('a release that leaves a guarded write open lets in nobody who waits, until it is over', async () => {
  const { lease, token } = await openGuard('line', writing)
  await standTo(other, 'line', 'bob')
  await release(other, lease, token)
  expect(await sharersOf(other, 'line')).toEqual([])
  await guarded.query('COMMIT')
  // Whoever was first is told by its next question.
  await shareTo(other, 'line', 'bob')
})

test('force_release waits for the guarded transaction, and gives up with 55P03', async () => {
  const { lease } = await openGuard('forced')
  expect(await failureOf(other.query("SELECT elect.force_release($1, 'a test')", [lease]))).toMatchObject({
    code: '55P03',
  })
  await guarded.query('COMMIT')
  expect(await scalar(other, "SELECT elect.force_release($1, 'a test')", [lease])).toBe(true)
  await shareTo(other, 'forced', 'writer', writing)
})

describe.each(['REPEATABLE READ', 'SERIALIZABLE'])('at %s', (level) => {
  const answerOf = async (name: string, wish = {}): Promise<boolean | string | null | undefined> => {
    const call = share(guarded, name, 'late', wish)
    const state = await sqlStateOf(call)
    return state === '00000' ? (await call).granted : state
  }

  /** The answer of a transaction that saw the database before what happens meanwhile. */
  async function inThePast(
    meanwhile: () => Promise<unknown>,
    call: () => Promise<unknown>,
  ): Promise<unknown> {
    await guarded.query(`BEGIN ISOLATION LEVEL ${level}`)
    await guarded.query('SELECT count(*) FROM elect.leases')
    await meanwhile()
    const answer = await call()
    await guarded.query('ROLLBACK')
    return answer
  }

  test('without anything happening meanwhile, all is as usual', async () => {
    const answer = await inThePast(
      async () => {},
      () => answerOf(`usual ${level}`, writing),
    )
    expect(answer).toBe(true)
  })

  test.each([true, false])(
    'a share granted meanwhile (exclusive: %s) keeps a writer out',
    async (exclusive) => {
      const name = `granted ${level} ${exclusive}`
      const answer = await inThePast(
        () => shareTo(other, name, 'ada', { exclusive }),
        () => answerOf(name, writing),
      )
      expect(answer).toBe('40001')
    },
  )

  test('also where the shared lease was there before', async () => {
    const name = `there ${level}`
    const { lease, token } = await shareTo(other, name, 'eve')
    await release(other, lease, token)
    const answer = await inThePast(
      () => shareTo(other, name, 'ada', writing),
      () => answerOf(name, writing),
    )
    expect(answer).toBe('40001')
  })

  test('one that waits since keeps its turn', async () => {
    const name = `waits ${level}`
    await shareTo(other, name, 'ada')
    const answer = await inThePast(
      () => standTo(other, name, 'writer', writing),
      () => answerOf(name),
    )
    expect(answer).toBe('40001')
  })

  test('nobody stands in line for what was released meanwhile', async () => {
    const name = `line ${level}`
    const { lease, token } = await shareTo(other, name, 'ada')
    const answer = await inThePast(
      () => release(other, lease, token),
      () => answerOf(name, { ...writing, wait: true }),
    )
    expect(answer).toBe('40001')
  })

  test('a share that was renewed meanwhile, and looks as if it had run out, is not swept', async () => {
    const name = `renewed ${level}`
    const { lease, token } = await shareTo(other, name, 'ada')
    const text = "UPDATE elect.leases SET expires_at = clock_timestamp() + interval '1 hour' WHERE name = $1"
    await expire(other, lease)
    const answer = await inThePast(
      () => other.query(text, [lease]),
      () => answerOf(name, writing),
    )
    expect(answer).toBe('40001')
    expect((await renew(other, lease, token)).granted).toBe(true)
  })

  test('a capacity that was lowered meanwhile is kept to', async () => {
    const name = `lowered ${level}`
    await shareTo(other, name, 'ada', { capacity: 2 })
    const answer = await inThePast(
      () => other.query('SELECT elect.set_capacity($1, 1)', [name]),
      () => answerOf(name),
    )
    expect(answer).toBe('40001')
  })

  test('a share that was forced out meanwhile is told right, or to try again', async () => {
    const name = `forced ${level}`
    const { lease } = await shareTo(other, name, 'ada')
    const answer = await inThePast(
      () => other.query("SELECT elect.force_release($1, 'a test')", [lease]),
      () => answerOf(name, writing),
    )
    expect([false, '40001']).toContain(answer)
  })

  test('two writers that look at the same past: at most one is granted', async () => {
    for (let round = 0; round < 30; round += 1) {
      const name = `race ${level} ${round}`
      const both = [guarded, other]
      await Promise.all(both.map((session) => session.query(`BEGIN ISOLATION LEVEL ${level}`)))
      await Promise.all(both.map((session) => session.query('SELECT count(*) FROM elect.leases')))
      const granted = await Promise.all(
        both.map(async (session, index) => {
          const call = share(session, name, `contender ${index}`, writing)
          if ((await sqlStateOf(call)) !== '00000' || !(await call).granted) return false
          return (await sqlStateOf(session.query('COMMIT'))) === '00000'
        }),
      )
      await Promise.all(both.map((session) => session.query('ROLLBACK')))
      expect(granted.filter(Boolean).length).toBeLessThanOrEqual(1)
    }
  })
})
