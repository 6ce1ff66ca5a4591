import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { backendPid } from '../support/postgres/session.ts'
import {
  eventually,
  failureOf,
  grantTo,
  guard,
  holderOf,
  inTransaction,
  oneRow,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  useDatabase,
} from './leases.ts'
import { createRole } from './roles.ts'

const database = useDatabase()
let guarded: pg.Client
let other: pg.Client
let version: number

beforeAll(async () => {
  guarded = await database.connect()
  other = await database.connect()
  version = Math.floor(
    (await scalar<number>(other, "SELECT current_setting('server_version_num')::int")) / 10_000,
  )
})

beforeEach(async () => {
  await guarded.query('ROLLBACK')
  await other.query('ROLLBACK; RESET ROLE')
})

const settings = ['idle_in_transaction_session_timeout', 'statement_timeout', 'transaction_timeout']

function inForce(): Promise<(string | null)[]> {
  return Promise.all(
    settings.map((name) => scalar<string | null>(guarded, 'SELECT current_setting($1, true)', [name])),
  )
}

async function assertFor(client: pg.Client, name: string, token: number, longest: string): Promise<void> {
  await client.query('SELECT elect.assert_lease($1, $2, longest => $3)', [name, token, longest])
}

/** A session of its own in a guarded transaction that may last that long. */
async function openBounded(
  name: string,
  longest: string,
): Promise<{ session: pg.Client; pid: number; end: Promise<Error> }> {
  const token = await grantTo(other, name, 'ada', '1 hour')
  const session = await database.connect()
  const end = new Promise<Error>((resolve) => session.once('error', resolve))
  const pid = await backendPid(session)
  await session.query('BEGIN')
  await assertFor(session, name, token, longest)
  return { session, pid, end }
}

async function isGone(pid: number): Promise<boolean> {
  return (await rowsOf(other, 'SELECT FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0
}

describe('the longest time of a guarded transaction', () => {
  test('ends one whose client hangs, and lets the next leader in', async () => {
    const { pid, end } = await openBounded('hung', '200 milliseconds')
    expect(await end).toMatchObject({ code: version >= 17 ? expect.stringMatching(/^25P0[34]$/) : '25P03' })
    await eventually(() => isGone(pid))
    expect(await scalar(other, "SELECT elect.force_release('hung', 'a test')")).toBe(true)
    await grantTo(other, 'hung', 'bob')
  })

  test('ends a statement that takes longer', async () => {
    const { session } = await openBounded('slow', '200 milliseconds')
    const state = await sqlStateOf(session.query('SELECT pg_sleep(20)'))
    expect(version >= 17 ? ['57014', '25P04'] : ['57014']).toContain(state)
  })

  test('ends one that is busy all the time, from version 17 on', async ({ skip }) => {
    if (version < 17) {
      console.log('skipped: no transaction_timeout')
      skip('skipped: no transaction_timeout')
    }
    const { session } = await openBounded('busy', '200 milliseconds')
    let failure: { code?: string } | undefined
    while (failure === undefined)
      await session.query('SELECT pg_sleep(0.02)').catch((error) => (failure = error))
    expect(failure.code).toBe('25P04')
  })

  test('is a minute unless given, holds for the transaction and is gone after it', async () => {
    const token = await grantTo(guarded, 'default', 'ada', '1 hour')
    const before = await inForce()
    const lasting = (value: string) => settings.map((_, i) => (i === 2 && version < 17 ? null : value))
    for (const end of ['COMMIT', 'ROLLBACK']) {
      await guarded.query('BEGIN')
      await guard(guarded, 'default', token)
      expect(await inForce()).toEqual(lasting('1min'))
      await guarded.query(end)
      expect(await inForce()).toEqual(before)
    }
    await guarded.query('BEGIN; SAVEPOINT before')
    await assertFor(guarded, 'default', token, '1.5 seconds')
    expect(await inForce()).toEqual(lasting('1500ms'))
    await guarded.query('ROLLBACK TO before')
    expect(await inForce()).toEqual(before)
  })

  test('leaves a tighter setting alone, and tightens a looser one', async () => {
    const token = await grantTo(guarded, 'tighter', 'ada', '1 hour')
    await guarded.query(
      `BEGIN; SET LOCAL statement_timeout = '7s'; SET LOCAL idle_in_transaction_session_timeout = '2h'`,
    )
    await assertFor(guarded, 'tighter', token, '1 minute')
    expect((await inForce()).slice(0, 2)).toEqual(['1min', '7s'])
    // A second guard of the same transaction may only tighten it, too.
    await assertFor(guarded, 'tighter', token, '1 hour')
    expect((await inForce()).slice(0, 2)).toEqual(['1min', '7s'])
    await assertFor(guarded, 'tighter', token, '3 seconds')
    expect((await inForce()).slice(0, 2)).toEqual(['3s', '3s'])
  })

  test.each(['99 milliseconds', '25 hours', '-1 seconds', '1 month', null])(
    'may not be %s',
    async (longest) => {
      const token = await scalar<number>(other, "SELECT elect.acquire_lease('bad bound', 'ada')").then(
        async () => (await stored(other, 'bad bound')).token,
      )
      const text = 'SELECT elect.assert_lease($1, $2, $3)'
      const { code, message } = await failureOf(guarded.query(text, ['bad bound', token, longest]))
      expect(code).toBe('22023')
      expect(message).toMatch(/^Invalid longest: expected 100 milliseconds to 24 hours without months, got /)
    },
  )
})

describe('get_guards', () => {
  test('shows each guarded transaction that is open, whose it is and since when', async () => {
    const token = await grantTo(guarded, 'shown', 'ada', '1 hour')
    await grantTo(guarded, 'unrelated', 'ada', '1 hour')
    expect(await rowsOf(other, "SELECT * FROM elect.get_guards('shown')")).toEqual([])
    await guarded.query('BEGIN')
    const begun = await scalar<Date>(guarded, 'SELECT now()')
    await guard(guarded, 'shown', token)
    await guard(guarded, 'shown', token)
    const shown = await oneRow(other, "SELECT * FROM elect.get_guards('shown')")
    expect(shown).toMatchObject({ pid: await backendPid(guarded), usename: expect.any(String), since: begun })
    expect(shown).toMatchObject({ state: expect.stringMatching(/^idle in transaction/) })
    expect(await rowsOf(other, "SELECT * FROM elect.get_guards('unrelated')")).toEqual([])
    await guarded.query('COMMIT')
    expect(await rowsOf(other, "SELECT * FROM elect.get_guards('shown')")).toEqual([])
  })

  test('is for readers, too, who see no less', async () => {
    const token = await grantTo(guarded, 'read', 'ada', '1 hour')
    await guarded.query('BEGIN')
    await guard(guarded, 'read', token)
    await other.query('SET ROLE elect_reader')
    expect(await oneRow(other, "SELECT * FROM elect.get_guards('read')")).toMatchObject({
      pid: await backendPid(guarded),
      since: expect.any(Date),
    })
  })

  test('shows one that rolled back to before its guard no more', async () => {
    const token = await grantTo(guarded, 'undone', 'ada', '1 hour')
    await guarded.query('BEGIN; SAVEPOINT before')
    await guard(guarded, 'undone', token)
    await guarded.query('ROLLBACK TO before')
    expect(await rowsOf(other, "SELECT * FROM elect.get_guards('undone')")).toEqual([])
  })
})

describe('force_release', () => {
  test('refuses while a guarded transaction is open, and says whose it is', async () => {
    const { session, pid } = await openBounded('in use', '1 minute')
    const { code, message, detail, hint } = await failureOf(
      other.query("SELECT elect.force_release('in use', 'a test')"),
    )
    expect({ code, message }).toEqual({
      code: '55P03',
      message: 'Lease in use is in use by a transaction that is still open',
    })
    const usename = await scalar(session, 'SELECT current_user')
    expect(detail).toMatch(new RegExp(`^Backend ${pid} of ${usename}, idle in transaction since \\d{4}-`))
    expect(hint).toContain('terminate => true')
    await session.query('COMMIT')
    expect(await holderOf(other, 'in use')).toBe('ada')
  })

  test('says so where the one in the way is no guard', async () => {
    await grantTo(guarded, 'locked', 'ada', '1 hour')
    await guarded.query("BEGIN; SELECT FROM elect.leases WHERE name = 'locked' FOR KEY SHARE")
    const { code, detail } = await failureOf(other.query("SELECT elect.force_release('locked', 'a test')"))
    expect({ code, detail }).toEqual({ code: '55P03', detail: 'It is not a guarded one: see pg_locks.' })
  })

  test('terminate ends every guard of that lease, says which, and keeps them in the row', async () => {
    const { session, pid, end } = await openBounded('ended', '1 minute')
    const second = await database.connect()
    const secondEnd = new Promise((resolve) => second.once('error', resolve))
    await second.query('BEGIN')
    await guard(second, 'ended', (await stored(other, 'ended')).token)
    const pids = [pid, await backendPid(second)]
    const bystander = await openBounded('bystander', '1 minute')
    const notices: string[] = []
    const listen = ({ message }: { message?: string }) => notices.push(message ?? '')
    other.on('notice', listen)
    expect(await scalar(other, "SELECT elect.force_release('ended', 'it hangs', terminate => true)")).toBe(
      true,
    )
    other.off('notice', listen)
    expect(notices.toSorted()).toEqual(
      pids
        .map((one) =>
          expect.stringMatching(
            new RegExp(`^Ended backend ${one} of .+ in a guarded transaction since \\d{4}-`),
          ),
        )
        .toSorted(),
    )
    expect(notices.map((notice) => Number(notice.split(' ')[2])).toSorted()).toEqual(pids.toSorted())
    expect(await end).toMatchObject({ code: '57P01' })
    await secondEnd
    expect(await sqlStateOf(session.query('COMMIT')).catch(() => 'gone')).toBe('gone')
    const { metadata } = await stored(other, 'ended')
    expect(metadata).toMatchObject({ reason: 'it hangs', ended_backends: expect.arrayContaining(pids) })
    await grantTo(other, 'ended', 'bob')
    expect(await sqlStateOf(bystander.session.query('COMMIT'))).toBe('00000')
  })

  test('terminate without anybody in the way is as without; null is refused', async () => {
    await grantTo(other, 'free', 'ada', '1 hour')
    const call = 'SELECT elect.force_release($1, $2, $3)'
    expect(await sqlStateOf(other.query(call, ['free', 'a test', null]))).toBe('22023')
    expect(await scalar(other, call, ['free', 'a test', true])).toBe(true)
    expect(await scalar(other, call, ['free', 'a test', true])).toBe(false)
    expect((await stored(other, 'free')).metadata).toMatchObject({ ended_backends: [] })
  })

  test('does not end the transaction that calls it', async () => {
    const token = await grantTo(other, 'itself', 'ada', '1 hour')
    const pid = await backendPid(other)
    await inTransaction(other, async () => {
      await guard(other, 'itself', token)
      expect(await scalar(other, "SELECT elect.force_release('itself', 'a test', true)")).toBe(true)
    })
    expect(await backendPid(other)).toBe(pid)
  })

  test.each(['elect_user', 'elect_reader'])('is not for %s', async (role) => {
    const { session } = await openBounded(`not for ${role}`, '1 minute')
    await other.query(`SET ROLE ${role}`)
    expect(
      await sqlStateOf(other.query('SELECT elect.force_release($1, $2, true)', [`not for ${role}`, 'x'])),
    ).toBe('42501')
    await session.query('COMMIT')
  })

  test('ends the guard of an ordinary role for an admin who is none of its members', async () => {
    const { name } = await createRole(guarded)
    await guarded.query('SELECT elect.grant_access($1, $2)', [name, 'user'])
    const token = await grantTo(guarded, 'of another', 'ada', '1 hour')
    const session = await database.connect()
    const end = new Promise((resolve) => session.once('error', resolve))
    await session.query(`SET SESSION AUTHORIZATION ${name}`)
    await session.query('BEGIN')
    await guard(session, 'of another', token)
    await other.query('SET ROLE elect_admin')
    expect(await scalar(other, "SELECT elect.force_release('of another', 'a test', true)")).toBe(true)
    expect(await end).toMatchObject({ code: '57P01' })
    await other.query('RESET ROLE')
  })

  test('does not end a superuser for an admin who is none: 42501, and nothing happens', async () => {
    const { session } = await openBounded('of a superuser', '1 minute')
    await other.query('SET ROLE elect_admin')
    expect(
      await sqlStateOf(other.query("SELECT elect.force_release('of a superuser', 'a test', true)")),
    ).toBe('42501')
    await other.query('RESET ROLE')
    await session.query('COMMIT')
    expect(await holderOf(other, 'of a superuser')).toBe('ada')
  })
})
