import { describe, expect, test } from 'vitest'
import { beat, leaveQueue } from '../../src/line-queries.ts'
import * as queries from '../../src/queries.ts'
import { busyRow, grantedRow, refusedRow, waitingRow } from './support/rows.ts'
import { ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

/** Does not stand in line. */
const LONE = { name: 'x', holder: 'me', ttlMs: 1, metadata: undefined, priority: undefined }

function database(): ScriptedDatabase {
  return new ScriptedDatabase(new StubClock())
}

describe('a call', () => {
  test('passes its arguments by name, never within the SQL text', async () => {
    const db = database()
    db.next('acquire_lease', [grantedRow(5)])
    const request = { name: `it's; DROP`, holder: 'me', ttlMs: 1500, metadata: { a: 1 }, priority: 3 }
    await queries.acquireLease(db, request, { timeoutMs: 50 })
    expect(db.calls).toMatchObject([
      {
        name: 'acquire_lease',
        arguments: {
          name: `it's; DROP`,
          holder: 'me',
          ttl: '1500 milliseconds',
          metadata: '{"a":1}',
          wait: true,
          priority: 3,
        },
        timeoutMs: 50,
      },
    ])
    expect(db.calls[0]?.sql).not.toContain('DROP')
  })

  test('of a swap passes no TTL unless there is one', async () => {
    const db = database()
    db.always('compare_and_swap', [{ swapped: true }])
    const swap = { key: 'k', next: 'b', current: 'a' }
    expect(await queries.compareAndSwap(db, { ...swap, ttlMs: undefined })).toBe(true)
    expect(await queries.compareAndSwap(db, { ...swap, ttlMs: 250 })).toBe(true)
    expect(db.calls.map((call) => call.arguments)).toEqual([
      { ...swap, ttl: null },
      { ...swap, ttl: '250 milliseconds' },
    ])
  })

  test('of many renewals is one, with names and tokens side by side', async () => {
    const db = database()
    db.next('renew_leases', [grantedRow(1), refusedRow('other'), busyRow()])
    const leases = ['a', 'b', 'c'].map((name, place) => ({ name, token: place + 1 }))
    const { renewed: answers } = await beat(db, leases, [])
    expect(db.calls).toMatchObject([{ arguments: { names: ['a', 'b', 'c'], tokens: [1, 2, 3] } }])
    expect(answers.map(({ granted, holder }) => [granted, holder])).toEqual([
      [true, 'me'],
      [false, 'other'],
      [null, null],
    ])
  })

  test('of both kinds of a beat is one statement, whose rows say where they belong', async () => {
    const db = database()
    db.next('renew_leases', [grantedRow(1), refusedRow('other')])
    db.next('refresh_candidates', [waitingRow(4)])
    const leases = ['a', 'b'].map((name, place) => ({ name, token: place + 1 }))
    const answers = await beat(db, leases, [{ name: 'c', holder: 'me' }])
    expect(db.calls.map(({ statement }) => statement)).toEqual([1, 1])
    expect(db.calls[0]?.sql).toMatch(/ UNION ALL .* ORDER BY part, ordinality$/)
    expect(answers.renewed.map(({ holder }) => holder)).toEqual(['me', 'other'])
    expect(answers.stand.map(({ rank }) => rank)).toEqual([4])
  })

  test('of leaving gives back what was granted in the same moment, and nothing else', async () => {
    const db = database()
    db.next('leave_queue', [])
    await leaveQueue(db, { name: 'x', holder: 'me' })
    expect(db.calls).toMatchObject([{ name: 'leave_queue', arguments: { name: 'x', holder: 'me' } }])
    expect(db.calls[0]?.sql).toMatch(/^SELECT elect\.release_lease\(.* WHERE q\.granted$/)
  })
})

describe('an answer', () => {
  test('has tokens and versions as numbers, though the driver sends text', async () => {
    const db = database()
    db.next('acquire_lease', [grantedRow(1_900_000_000_000_000)])
    const answer = await queries.acquireLease(db, LONE)
    expect(answer).toMatchObject({ token: 1_900_000_000_000_000, version: 1_900_000_000_000_000 })
    db.next('compare_and_swap_version', [{ version: '41' }], [{ version: null }])
    const swap = { key: 'k', next: 'v', version: 40, ttlMs: undefined }
    expect(await queries.compareAndSwapVersion(db, swap)).toBe(41)
    expect(await queries.compareAndSwapVersion(db, swap)).toBeNull()
  })

  test('with a number that JavaScript cannot hold exactly is refused, not rounded', async () => {
    const db = database()
    db.next('acquire_lease', [{ ...grantedRow(1), token: '9007199254740993' }])
    const asking = queries.acquireLease(db, LONE)
    await expect(asking).rejects.toThrow(RangeError)
  })

  test('about a vacant lease is undefined', async () => {
    const db = database()
    db.next('get_lease', [])
    expect(await queries.getLease(db, 'x')).toBeUndefined()
  })
})
