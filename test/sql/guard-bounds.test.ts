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

async function openGuard(session: pg.Client, name: string, token: number): Promise<void> {
  await session.query('BEGIN')
  await guard(session, name, token)
}

/** A user who is no superuser: those may be ended by superusers only. */
async function loginRole(): Promise<{ connect: () => Promise<pg.Client> }> {
  const { name } = await createRole(other)
  await other.query(`ALTER ROLE ${name} LOGIN PASSWORD 'x'; SELECT elect.grant_access('${name}', 'user')`)
  return { connect: () => database.connect({ user: name.slice(1, -1), password: 'x' }) }
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

  test('ends one that is busy all the time, from version 17 on', async ({ skip }) => {
    if (version < 17) {
      console.log('skipped: no transaction_timeout')
      skip('skipped: no transaction_timeout')
    }
    const { session } = await openBounded('busy', '200 milliseconds')
    let failure: { code?: string } | undefined
    const fails = (error: Error & { code?: string }) => {
      failure ??= error
    }
    // The word of the server may come between two statements, too.
    session.on('error', fails)
    while (failure === undefined) await session.query('SELECT pg_sleep(0.02)').catch(fails)
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

  test('leaves a tighter setting alone, and a second guard tightens at most', async () => {
    const token = await grantTo(guarded, 'tighter', 'ada', '1 hour')
    await guarded.query(
      "BEGIN; SET LOCAL statement_timeout = '7s'; SET LOCAL idle_in_transaction_session_timeout = '2h'",
    )
    for (const [longest, expected] of [
      ['1 minute', ['1min', '7s']],
      ['1 hour', ['1min', '7s']],
      ['3 seconds', ['3s', '3s']],
    ] as const) {
      await assertFor(guarded, 'tighter', token, longest)
      expect((await inForce()).slice(0, 2)).toEqual(expected)
    }
  })
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

  test('terminate ends every guard of that lease and no other, says which, and keeps them in the row', async () => {
    const role = await loginRole()
    const writers = await Promise.all([role.connect(), role.connect(), role.connect()])
    const [one, two, bystander] = writers as [pg.Client, pg.Client, pg.Client]
    const token = await grantTo(other, 'ended', 'ada', '1 hour')
    for (const writer of [one, two]) await openGuard(writer, 'ended', token)
    await openGuard(bystander, 'bystander', await grantTo(other, 'bystander', 'ada', '1 hour'))
    const pids = (await rowsOf(other, "SELECT pid FROM elect.get_guards('ended')")).map(({ pid }) => pid)
    expect(pids).toHaveLength(2)
    const notices: string[] = []
    const listen = ({ message }: { message?: string | undefined }) => void notices.push(message ?? '')
    other.on('notice', listen)
    expect(await scalar(other, "SELECT elect.force_release('ended', 'it hangs', terminate => true)")).toBe(
      true,
    )
    other.off('notice', listen)
    expect(notices).toHaveLength(2)
    for (const pid of pids) {
      const told = new RegExp(`^Ended backend ${pid} of \\S+, in a guarded transaction since \\d{4}-`)
      expect(notices.filter((notice) => told.test(notice))).toHaveLength(1)
      await eventually(() => isGone(pid))
    }
    const { metadata } = await stored(other, 'ended')
    expect(metadata).toMatchObject({ reason: 'it hangs', ended_backends: expect.arrayContaining(pids) })
    await grantTo(other, 'ended', 'bob')
    expect(await sqlStateOf(bystander.query('COMMIT'))).toBe('00000')
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

  test('ends the guard of an ordinary role for an admin who is none of its members', async () => {
    const writer = await (await loginRole()).connect()
    await openGuard(writer, 'of another', await grantTo(guarded, 'of another', 'ada', '1 hour'))
    await other.query('SET ROLE elect_admin')
    expect(await scalar(other, "SELECT elect.force_release('of another', 'a test', true)")).toBe(true)
    await other.query('RESET ROLE')
    expect(await rowsOf(other, "SELECT FROM elect.get_guards('of another')")).toEqual([])
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
