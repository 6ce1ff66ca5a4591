import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  acquire,
  failureOf,
  grantTo,
  guard,
  holderOf,
  nobodyKnown,
  release,
  scalar,
  sqlStateOf,
  stored,
  useDatabase,
} from './leases.ts'
import { candidacy, crowd, crowdSize, endTerm, refresh, stand, standAll } from './line.ts'
import { Listener } from './listener.ts'

const database = useDatabase()
/** The session of the guarded transaction. */
let guarded: pg.Client
let candidate: pg.Client
let other: pg.Client
let observer: pg.Client
let listener: Listener
let candidatesChannel: string

beforeAll(async () => {
  guarded = await database.connect()
  candidate = await database.connect()
  other = await database.connect()
  observer = await database.connect()
  // What should not wait fails, instead of leaving it to the time limit of the test.
  for (const session of [candidate, other]) await session.query("SET lock_timeout = '5s'")
  candidatesChannel = await scalar(candidate, 'SELECT elect.listen_here()')
  listener = new Listener(candidate)
})

beforeEach(async () => {
  await guarded.query('ROLLBACK')
  await listener.heard()
})

/** Ada's lease with a guarded transaction that stays open, bob first in line, and a crowd behind him. */
async function openGuard(name: string): Promise<number> {
  const token = await grantTo(guarded, name, 'ada', '1 hour')
  await guarded.query('BEGIN')
  await guard(guarded, name, token)
  // Whoever stands in line is not in the way of the guard, nor the guard in its.
  await standAll(candidate, name, 'bob')
  await crowd(other, name)
  return token
}

/** Expects that nobody can take the vacated lease until the guarded transaction ends, and then bob. */
async function expectBobAfterTheGuard(name: string, token: number): Promise<void> {
  expect(await stored(other, name)).toMatchObject({ holder: null, token })
  expect(await stand(candidate, name, 'bob')).toEqual({ ...nobodyKnown, rank: 0 })
  expect(await refresh(candidate, [name, 'bob'])).toMatchObject([{ granted: false, holder: null, rank: 0 }])
  expect(await acquire(other, name, 'eve')).toEqual(nobodyKnown)
  // Not even one whose turn it would be by now.
  await endTerm(other, name, '1 hour')
  expect(await acquire(other, name, 'eve')).toEqual(nobodyKnown)
  await endTerm(other, name)
  await guarded.query('COMMIT')
  expect(await stand(other, name, 'eve')).toEqual({ ...nobodyKnown, rank: crowdSize + 1 })
  const grant = await stand(candidate, name, 'bob')
  expect(grant).toMatchObject({ granted: true, holder: 'bob', rank: null })
  expect(grant.token).toBeGreaterThan(token)
}

describe('while a guarded transaction of the holder is open', () => {
  test('a release vacates the lease and tells the first in line, which gets it at the end of that', async () => {
    const token = await openGuard('released')
    expect(await release(other, 'released', token)).toBe(true)
    expect((await listener.heard()).get(candidatesChannel)).toEqual([
      { event: 'released', name: 'released', holder: null, token, previous_holder: 'ada' },
    ])
    await expectBobAfterTheGuard('released', token)
  })

  test('a transfer to the line waits, gives up, and leaves the line as it was', async () => {
    const token = await openGuard('transferred')
    const transfer = other.query("SELECT elect.transfer_lease('transferred', $1)", [token])
    expect(await sqlStateOf(transfer)).toBe('55P03')
    expect(await holderOf(other, 'transferred')).toBe('ada')
    expect(await candidacy(other, 'transferred', 'bob')).toMatchObject({ rank: 0 })
    expect(await listener.heard()).toEqual(new Map())
  })

  test('force_release waits, gives up, and tells nobody', async () => {
    await openGuard('forced in vain')
    const force = other.query("SELECT elect.force_release('forced in vain', 'a test')")
    expect(await sqlStateOf(force)).toBe('55P03')
    expect(await holderOf(other, 'forced in vain')).toBe('ada')
    expect(await listener.heard()).toEqual(new Map())
  })

  test('force_release at the end of that vacates the lease, tells the first in line, and lets nobody else in', async () => {
    const token = await openGuard('forced')
    const pid = await backendPid(other)
    const forced = scalar(other, "SELECT elect.force_release('forced', 'a test')")
    await whenBlocked(observer, pid)
    await guarded.query('COMMIT')
    expect(await forced).toBe(true)
    expect(await stored(other, 'forced')).toMatchObject({ holder: null, token })
    expect((await listener.heard()).get(candidatesChannel)).toMatchObject([{ event: 'forced', holder: null }])
    await endTerm(other, 'forced')
    expect(await stand(other, 'forced', 'eve')).toEqual({ ...nobodyKnown, rank: crowdSize + 1 })
    expect(await stand(candidate, 'forced', 'bob')).toMatchObject({ granted: true, holder: 'bob' })
  })

  test('the expired lease goes to the first in line at the end of that', async () => {
    const token = await openGuard('expired')
    await endTerm(other, 'expired')
    expect(await stand(candidate, 'expired', 'bob')).toEqual({ ...nobodyKnown, rank: 0 })
    // The line takes those who come, as that cannot be known to last.
    expect(await stand(candidate, 'expired', 'carol')).toMatchObject({ granted: false, rank: crowdSize + 1 })
    await guarded.query('COMMIT')
    await endTerm(other, 'expired')
    expect(await acquire(other, 'expired', 'eve')).toEqual(nobodyKnown)
    expect((await acquire(candidate, 'expired', 'bob')).token).toBeGreaterThan(token)
  })
})

test('a guard of the old holder is refused after the hand-off', async () => {
  const token = await grantTo(guarded, 'order', 'ada')
  await standAll(candidate, 'order', 'bob')
  await release(other, 'order', token)
  expect((await failureOf(guard(guarded, 'order', token))).detail).toMatch(/granted again since/)
})
