import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { acquire, grantTo, holderOf, nobodyKnown, release, scalar, stored, useDatabase } from './leases.ts'
import { candidacy, endTerm, leave, lineOf, stand, standAll } from './line.ts'

// Every order in which a release and a candidate can meet: the candidate is granted the lease by the release, or
// sees itself that it is vacant. Never does it stand in a line that nobody looks at any more.

const database = useDatabase()
/** The session of the holder. */
let holder: pg.Client
/** The session of the candidate. */
let candidate: pg.Client
let observer: pg.Client
let third: pg.Client

beforeAll(async () => {
  holder = await database.connect()
  candidate = await database.connect()
  third = await database.connect()
  observer = await database.connect()
})

beforeEach(async () => {
  for (const session of [holder, candidate, third]) await session.query('ROLLBACK')
})

/** Starts the call, and returns when it waits for another session. The answer is wrapped: it is not there yet. */
async function blocked<Answer>(
  session: pg.Client,
  call: () => Promise<Answer>,
): Promise<{ answer: Promise<Answer> }> {
  const pid = await backendPid(session)
  const answer = call()
  await whenBlocked(observer, pid)
  return { answer }
}

const ends = ['COMMIT', 'ROLLBACK'] as const

describe('while a release is not committed, one that stands in line', () => {
  test('waits, and is granted the vacant lease', async () => {
    const token = await grantTo(holder, 'release', 'ada')
    await holder.query('BEGIN')
    await release(holder, 'release', token)
    const { answer } = await blocked(candidate, () => stand(candidate, 'release', 'bob'))
    await holder.query('COMMIT')
    expect(await answer).toMatchObject({ granted: true, holder: 'bob', rank: null })
    expect(await lineOf(observer, 'release')).toEqual([])
  })

  test('waits, and has a place where it is rolled back', async () => {
    const token = await grantTo(holder, 'no release', 'ada')
    await holder.query('BEGIN')
    await release(holder, 'no release', token)
    const { answer } = await blocked(candidate, () => stand(candidate, 'no release', 'bob'))
    await holder.query('ROLLBACK')
    expect(await answer).toMatchObject({ granted: false, holder: 'ada', token, rank: 0 })
    expect(await release(holder, 'no release', token)).toBe(true)
    expect(await holderOf(observer, 'no release')).toBe('bob')
  })

  test('waits, and stands behind the one that was handed the lease', async () => {
    const token = await grantTo(holder, 'handed', 'ada')
    await standAll(third, 'handed', 'carol')
    await holder.query('BEGIN')
    await release(holder, 'handed', token)
    const { answer } = await blocked(candidate, () => stand(candidate, 'handed', 'bob'))
    await holder.query('COMMIT')
    expect(await answer).toMatchObject({ granted: false, holder: 'carol', rank: 0 })
    expect(await lineOf(observer, 'handed')).toEqual(['bob'])
  })

  test('and is itself the one that was handed the lease, learns that it has it', async () => {
    const token = await grantTo(holder, 'itself', 'ada')
    await standAll(candidate, 'itself', 'bob')
    await holder.query('BEGIN')
    await release(holder, 'itself', token)
    const { answer } = await blocked(candidate, () => stand(candidate, 'itself', 'bob'))
    await holder.query('COMMIT')
    const handed = await stored(observer, 'itself')
    expect(await answer).toMatchObject({ granted: true, holder: 'bob', token: handed.token, rank: null })
    expect(await lineOf(observer, 'itself')).toEqual([])
  })

  test('waits for force_release as well', async () => {
    await grantTo(holder, 'forced', 'ada')
    await holder.query('BEGIN')
    await holder.query("SELECT elect.force_release('forced', 'a test')")
    const { answer } = await blocked(candidate, () => stand(candidate, 'forced', 'bob'))
    await holder.query('COMMIT')
    expect(await answer).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('and does not wait in line is refused at once', async () => {
    const token = await grantTo(holder, 'impatient', 'ada')
    await standAll(third, 'impatient', 'carol')
    await holder.query('BEGIN')
    await release(holder, 'impatient', token)
    await candidate.query("SET lock_timeout = '5s'")
    expect(await acquire(candidate, 'impatient', 'bob')).toMatchObject({ granted: false, holder: 'ada' })
    await candidate.query('RESET lock_timeout')
  })
})

describe('while one stands in line and that is not committed', () => {
  test('a release waits for it, and hands it the lease', async () => {
    const token = await grantTo(holder, 'standing', 'ada')
    await candidate.query('BEGIN')
    expect(await stand(candidate, 'standing', 'bob')).toMatchObject({ granted: false, rank: 0 })
    const { answer } = await blocked(holder, () => release(holder, 'standing', token))
    await candidate.query('COMMIT')
    expect(await answer).toBe(true)
    expect(await candidacy(candidate, 'standing', 'bob')).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('a release waits for it, and vacates the lease where it is rolled back', async () => {
    const token = await grantTo(holder, 'not standing', 'ada')
    await candidate.query('BEGIN')
    await stand(candidate, 'not standing', 'bob')
    const { answer } = await blocked(holder, () => release(holder, 'not standing', token))
    await candidate.query('ROLLBACK')
    expect(await answer).toBe(true)
    expect(await stored(observer, 'not standing')).toMatchObject({ holder: null, token })
  })

  test('a release knows its priority', async () => {
    const token = await grantTo(holder, 'urgent', 'ada')
    await standAll(third, 'urgent', 'carol')
    await candidate.query('BEGIN')
    expect(await stand(candidate, 'urgent', 'bob', { priority: 1 })).toMatchObject({ rank: 0 })
    const { answer } = await blocked(holder, () => release(holder, 'urgent', token))
    await candidate.query('COMMIT')
    await answer
    expect(await holderOf(observer, 'urgent')).toBe('bob')
    expect(await lineOf(observer, 'urgent')).toEqual(['carol'])
  })

  test('force_release waits for it, and the one in line takes the lease', async () => {
    await grantTo(holder, 'forcing', 'ada')
    await candidate.query('BEGIN')
    await stand(candidate, 'forcing', 'bob')
    const { answer } = await blocked(holder, () =>
      scalar(holder, "SELECT elect.force_release('forcing', 'a test')"),
    )
    await candidate.query('COMMIT')
    expect(await answer).toBe(true)
    expect(await candidacy(candidate, 'forcing', 'bob')).toMatchObject({
      granted: false,
      holder: null,
      rank: 0,
    })
    expect(await stand(candidate, 'forcing', 'bob')).toMatchObject({ granted: true })
  })

  test('the next one waits for it, and stands behind it', async () => {
    await grantTo(holder, 'both', 'ada')
    await candidate.query('BEGIN')
    await stand(candidate, 'both', 'bob')
    const { answer } = await blocked(third, () => stand(third, 'both', 'carol'))
    await candidate.query('COMMIT')
    expect(await answer).toMatchObject({ granted: false, rank: 1 })
    expect(await lineOf(observer, 'both')).toEqual(['bob', 'carol'])
  })

  test('renewals of the holder wait for it, and lose nothing', async () => {
    const token = await grantTo(holder, 'renewed', 'ada')
    await candidate.query('BEGIN')
    await stand(candidate, 'renewed', 'bob')
    const { answer } = await blocked(holder, () =>
      scalar(holder, 'SELECT granted FROM elect.renew_lease($1, $2)', ['renewed', token]),
    )
    await candidate.query('COMMIT')
    expect(await answer).toBe(true)
    expect(await lineOf(observer, 'renewed')).toEqual(['bob'])
  })
})

describe('one that leaves while a hand-off to it is not committed', () => {
  test.each(ends)('waits for it, and learns how it ended: %s', async (end) => {
    const name = `leaving, ${end}`
    const token = await grantTo(holder, name, 'ada')
    await standAll(candidate, name, 'bob')
    await holder.query('BEGIN')
    await release(holder, name, token)
    const { answer } = await blocked(candidate, () => leave(candidate, name, 'bob'))
    await holder.query(end)
    const { token: current } = await stored(observer, name)
    expect(await answer).toMatchObject(
      end === 'COMMIT'
        ? { lease: name, granted: true, holder: 'bob', token: current }
        : { lease: name, granted: false, holder: 'ada', token },
    )
    expect(await lineOf(observer, name)).toEqual([])
  })
})

describe('a release while the first in line leaves and that is not committed', () => {
  test.each(ends)('waits for it, and hands the lease to whoever is first then: %s', async (end) => {
    const name = `left, ${end}`
    const token = await grantTo(holder, name, 'ada')
    await standAll(candidate, name, 'bob', 'carol')
    await candidate.query('BEGIN')
    await leave(candidate, name, 'bob')
    const { answer } = await blocked(holder, () => release(holder, name, token))
    await candidate.query(end)
    expect(await answer).toBe(true)
    expect(await holderOf(observer, name)).toBe(end === 'COMMIT' ? 'carol' : 'bob')
    expect(await lineOf(observer, name)).toEqual(end === 'COMMIT' ? [] : ['carol'])
  })
})

test('one that comes while a takeover of the expired lease is not committed is told to ask again', async () => {
  await grantTo(holder, 'takeover', 'ada')
  await endTerm(observer, 'takeover')
  await third.query('BEGIN')
  await grantTo(third, 'takeover', 'carol')
  expect(await stand(candidate, 'takeover', 'bob')).toEqual({ ...nobodyKnown, rank: null })
  await third.query('COMMIT')
  expect(await stand(candidate, 'takeover', 'bob')).toMatchObject({
    granted: false,
    holder: 'carol',
    rank: 0,
  })
})

test('one that is kept out of an expired lease by a mutex of its name keeps nobody out afterwards', async () => {
  await grantTo(holder, 'mutex', 'ada')
  await endTerm(observer, 'mutex')
  await third.query("SELECT elect.try_advisory_lock('mutex')")
  await candidate.query('BEGIN')
  expect(await stand(candidate, 'mutex', 'bob')).toEqual({ ...nobodyKnown, rank: null })
  await third.query("SELECT elect.advisory_unlock('mutex')")
  await grantTo(third, 'mutex', 'carol')
})

test('standing in line waits for whoever is at the row for a second, and then says so', async () => {
  await grantTo(holder, 'busy', 'ada')
  await third.query('BEGIN')
  await third.query("SELECT FROM elect.leases WHERE name = 'busy' FOR UPDATE")
  const { answer } = await blocked(candidate, () => stand(candidate, 'busy', 'bob').catch((error) => error))
  expect(await answer).toMatchObject({ code: '55P03' })
  expect(await lineOf(observer, 'busy')).toEqual([])
  // The patience is the function's own: the session's is as it was.
  expect(await scalar(candidate, 'SHOW lock_timeout')).toBe('0')
})
