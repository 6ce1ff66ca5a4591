import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import {
  failureOf,
  grantTo,
  guard,
  nobodyKnown,
  release,
  renew,
  scalar,
  stored,
  swap,
  transfer,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()
let blocker: pg.Client
let caller: pg.Client
let observer: pg.Client

beforeAll(async () => {
  blocker = await database.connect()
  caller = await database.connect()
  observer = await database.connect()
})

/** What the call answers that had to wait for the row until after the lease had expired. */
async function afterTheExpiry<Answer>(
  name: string,
  call: (token: number) => Promise<Answer>,
): Promise<{ answer: Answer; token: number; expiredAt: Date | null }> {
  const token = await grantTo(caller, name, 'ada', '250 milliseconds')
  const { expires_at: expiredAt } = await stored(observer, name)
  await blocker.query('BEGIN')
  await blocker.query('SELECT FROM elect.leases WHERE name = $1 FOR UPDATE', [name])
  const pid = await backendPid(caller)
  const answer = call(token)
  await whenBlocked(observer, pid)
  await untilExpired(observer, name)
  await blocker.query('COMMIT')
  return { answer: await answer, token, expiredAt }
}

// The clock counts as it is when the row is there, not as it was when the question was asked.
describe('a call that has waited for the row past the expiry finds the lease gone:', () => {
  test('renew_lease', async () => {
    const { answer } = await afterTheExpiry('renew', (token) => renew(caller, 'renew', token, '1 minute'))
    expect(answer).toEqual(nobodyKnown)
  })

  test('release_lease', async () => {
    const { answer } = await afterTheExpiry('release', (token) => release(caller, 'release', token))
    expect(answer).toBe(false)
  })

  test('transfer_lease', async () => {
    const { answer } = await afterTheExpiry('transfer', (token) => transfer(caller, 'transfer', token, 'bob'))
    expect(answer).toEqual(nobodyKnown)
  })

  test('force_release', async () => {
    const { answer } = await afterTheExpiry('force', () =>
      scalar(caller, "SELECT elect.force_release('force', 'a test')"),
    )
    expect(answer).toBe(false)
  })

  test('assert_lease', async () => {
    const { answer } = await afterTheExpiry('guard', (token) => failureOf(guard(caller, 'guard', token)))
    expect(answer).toMatchObject({ code: 'LE001', detail: 'It has expired.' })
  })

  test('compare_and_swap', async () => {
    const { answer } = await afterTheExpiry('swap', () => failureOf(swap(caller, 'swap', 'bob', 'ada')))
    expect(answer.code).toBe('LE002')
  })

  test('compare_and_swap_version, for which it is still the version that was asked for', async () => {
    const { answer, token, expiredAt } = await afterTheExpiry('version', (version) =>
      scalar(caller, "SELECT elect.compare_and_swap_version('version', 'bob', $1)::float8", [version]),
    )
    expect(answer).toBe(token + 1)
    const { acquired_at } = await stored(observer, 'version')
    expect(Number(acquired_at)).toBeGreaterThanOrEqual(Number(expiredAt))
  })
})
