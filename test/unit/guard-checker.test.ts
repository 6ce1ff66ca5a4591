import { describe, expect, test } from 'vitest'
import { type Commit, check, type LeaseChange } from '../faults/guard/checker.ts'

const lease = 'checked'
const row = (
  token: number,
  holder: string | null,
  renewedAt: number,
  expiresAt: number,
  acquiredAt = renewedAt,
): LeaseChange => ({ kind: 'lease', lease, holder, token, acquiredAt, renewedAt, expiresAt })
const write = (token: number) => ({ kind: 'write', lease, token }) as const
const verdictOn = (...history: Commit[]) => check(history).get(lease)

const sound: Commit[] = [
  [row(1, 'ada', 100, 200)],
  [write(1)],
  [row(1, 'ada', 150, 250, 100)],
  [write(1), write(1)],
  [row(2, 'bob', 250, 350)],
  [write(2)],
  [row(2, null, 300, 300, 250)],
  [row(3, 'ada', 310, 410)],
]

test('finds nothing wrong with a sound history', () => {
  expect(verdictOn(...sound)).toEqual({ grants: 3, commits: 3, stale: 0, violations: [] })
})

describe('stale commits', () => {
  test('a write after a larger token was granted', () => {
    expect(verdictOn(...sound, [write(2)])).toMatchObject({ commits: 4, stale: 1 })
  })

  test('count once a transaction, and by the smallest token in it', () => {
    expect(verdictOn(...sound, [write(3), write(1), write(1)])).toMatchObject({ commits: 4, stale: 1 })
  })

  test('a larger grant makes them, not the end of their own', () => {
    const vacated = row(1, null, 150, 150, 100)
    expect(verdictOn([row(1, 'ada', 100, 200)], [vacated], [write(1)])).toMatchObject({ stale: 0 })
  })

  test('are not made by a grant of another lease', () => {
    const other: LeaseChange = { ...row(9, 'bob', 300, 400), lease: 'other' }
    const verdicts = check([[row(1, 'ada', 100, 200)], [other], [write(1)]])
    expect(verdicts.get(lease)).toMatchObject({ commits: 1, stale: 0 })
    expect(verdicts.get('other')).toMatchObject({ grants: 1, commits: 0 })
  })
})

describe('violations', () => {
  const first = [row(2, 'ada', 100, 200)]
  const seeded: [string, Commit, string][] = [
    ['a token that shrinks', [row(1, 'bob', 300, 400)], 'token 1 was granted after 2'],
    ['two grants at once', [row(3, 'bob', 199, 300)], 'token 3 was granted 1 µs before 2 ended'],
    [
      'a renewal after the expiry',
      [row(2, 'ada', 200, 300, 100)],
      'token 2 was renewed after it had expired',
    ],
    ['a token that changes hands', [row(2, 'bob', 150, 250, 100)], 'bob got token 2 of ada'],
    ['a token that nobody was granted', [write(3)], 'token 3 was written, but never granted'],
  ]

  test.each(seeded)('%s', (_, commit, words) => {
    expect(verdictOn(first, commit)?.violations).toEqual([words])
  })

  test('a write before any grant', () => {
    expect(verdictOn([write(1)])?.violations).toEqual(['token 1 was written before any grant'])
  })

  test('a holder under a released token', () => {
    expect(
      verdictOn(first, [row(2, null, 150, 150, 100)], [row(2, 'bob', 160, 260, 160)])?.violations,
    ).toEqual(['bob got token 2 of null'])
  })

  test('are not early grants that are meant to be: transfers and seizures', () => {
    const heir = row(3, 'bob:heir', 150, 250)
    expect(verdictOn(first, [heir], [row(4, 'eve:seizer', 160, 260)])?.violations).toEqual([])
  })

  test('are not grants that follow a release at once', () => {
    expect(verdictOn(first, [row(2, null, 150, 150, 100)], [row(3, 'bob', 150, 250)])?.violations).toEqual([])
  })
})
