import type pg from 'pg'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { failureOf, grantTo, guard, holderOf, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { createRole } from './roles.ts'

const database = useDatabase()
let superuser: pg.Client
/** The session of the guarded transaction: of a role that is no superuser, as applications are. */
let leader: pg.Client
let leaderRole: string

beforeEach(async () => {
  superuser = await database.connect()
  leaderRole = (await createRole(superuser)).name
  await superuser.query(`ALTER ROLE ${leaderRole} LOGIN PASSWORD 'leader'; SELECT elect.grant_access('${leaderRole}', 'user');
    CREATE TABLE IF NOT EXISTS written (by text); GRANT ALL ON written TO ${leaderRole}`)
  leader = await database.connect({ user: leaderRole.slice(1, -1), password: 'leader' })
  onTestFinished(() => leader.end().catch(() => undefined))
})

async function openGuard(name: string): Promise<number> {
  const token = await grantTo(leader, name, 'ada', '1 hour')
  await leader.query('BEGIN')
  await guard(leader, name, token)
  await leader.query("INSERT INTO written VALUES ('ada')")
  return token
}

describe('a guarded transaction that is in the way', () => {
  test('is shown, with its backend and since when', async () => {
    expect(await rowsOf(superuser, "SELECT * FROM elect.get_guards('shown')")).toEqual([])
    await openGuard('shown')
    const shown = "SELECT pid, usename, state, since FROM elect.get_guards('shown')"
    expect(await rowsOf(superuser, shown)).toEqual([
      {
        pid: expect.any(Number),
        usename: leaderRole.slice(1, -1),
        state: 'idle in transaction',
        since: expect.any(Date),
      },
    ])
    await leader.query('COMMIT')
    expect(await rowsOf(superuser, shown)).toEqual([])
  })

  test('is named by a forced release, which refuses; its commit comes first', async () => {
    await openGuard('named')
    const pid = await backendPid(leader)
    const failure = await failureOf(superuser.query("SELECT elect.force_release('named', 'a test')"))
    expect(failure).toMatchObject({ code: '55P03', detail: expect.stringContaining(`Backend ${pid} of`) })
    await leader.query('COMMIT')
    expect(await scalar(superuser, "SELECT elect.force_release('named', 'a test')")).toBe(true)
  })

  test('is waited for by a forced release that comes just before its commit', async () => {
    await openGuard('waited')
    const release = superuser.query("SELECT elect.force_release('waited', 'a test')")
    const observer = await database.connect()
    await whenBlocked(observer, await pidOf(observer, superuser))
    await leader.query('COMMIT')
    await release
    expect(await holderOf(observer, 'waited')).toBeUndefined()
    expect(await scalar(observer, "SELECT count(*)::int FROM written WHERE by = 'ada'")).toBeGreaterThan(0)
  })

  test('is ended where that is asked for: its writes are gone, and it is said which backend', async () => {
    await superuser.query('TRUNCATE written')
    await openGuard('ended')
    const pid = await backendPid(leader)
    const notices: string[] = []
    superuser.on('notice', ({ message }) => notices.push(String(message)))
    expect(await scalar(superuser, "SELECT elect.force_release('ended', 'hangs', terminate => true)")).toBe(
      true,
    )
    expect(notices).toEqual([expect.stringContaining(`Ended backend ${pid} of`)])
    expect(await sqlStateOf(leader.query('COMMIT')).catch(() => 'gone')).not.toBe('00000')
    expect(await scalar(superuser, 'SELECT count(*)::int FROM written')).toBe(0)
    const row = "SELECT metadata FROM elect.leases WHERE name = 'ended'"
    expect((await rowsOf(superuser, row))[0]?.metadata).toMatchObject({
      reason: 'hangs',
      ended_backends: [pid],
    })
  })

  test('is not for a user to end', async () => {
    const call = "SELECT elect.force_release('named', 'a test', terminate => true)"
    expect(await sqlStateOf(leader.query(call))).toBe('42501')
  })
})

describe('the bound of a guarded transaction', () => {
  test('ends one whose client hangs, and lets the next leader in', async () => {
    const token = await grantTo(leader, 'hangs', 'ada', '100 milliseconds')
    await leader.query('BEGIN')
    await leader.query("SELECT elect.assert_lease('hangs', $1, longest => '300 milliseconds')", [token])
    for (;;) {
      const granted = await scalar(superuser, "SELECT granted FROM elect.acquire_lease('hangs', 'bob')")
      if (granted) break
    }
    expect(await holderOf(superuser, 'hangs')).toBe('bob')
  })

  test('cuts a statement short', async () => {
    const token = await grantTo(leader, 'slow', 'ada', '1 hour')
    await leader.query('BEGIN')
    await leader.query("SELECT elect.assert_lease('slow', $1, longest => '100 milliseconds')", [token])
    const ended = sqlStateOf(leader.query('SELECT pg_sleep(30)')).catch(() => 'gone')
    expect(['57014', '25P04', 'gone']).toContain(await ended)
  })

  test('leaves a tighter one in force, loosens none, and is gone after the transaction', async () => {
    const token = await grantTo(superuser, 'settings', 'ada', '1 hour')
    const setting = (name: string) => scalar(superuser, 'SELECT current_setting($1)', [name])
    await superuser.query(
      "SET statement_timeout = '7s'; SET idle_in_transaction_session_timeout = '2h'; BEGIN",
    )
    await superuser.query("SELECT elect.assert_lease('settings', $1, longest => '30 seconds')", [token])
    expect(await setting('statement_timeout')).toBe('7s')
    expect(await setting('idle_in_transaction_session_timeout')).toBe('30s')
    // A second guard, with the default of a minute, does not loosen it.
    await guard(superuser, 'settings', token)
    expect(await setting('idle_in_transaction_session_timeout')).toBe('30s')
    await superuser.query('COMMIT')
    expect(await setting('idle_in_transaction_session_timeout')).toBe('2h')
  })

  test.each(["'50 milliseconds'", "'25 hours'", "'1 mon'", 'NULL'])(
    'of %s is a bad argument',
    async (longest) => {
      const token = await grantTo(superuser, `bound ${longest}`, 'ada')
      const call = `SELECT elect.assert_lease($1, $2, longest => ${longest})`
      const failure = await failureOf(superuser.query(call, [`bound ${longest}`, token]))
      expect(failure).toMatchObject({
        code: '22023',
        message: expect.stringContaining('Invalid longest: expected'),
      })
    },
  )
})

/** The backend of a session that is waiting and cannot be asked itself. */
async function pidOf(observer: pg.Client, waiting: pg.Client): Promise<number> {
  const pid = (waiting as { processID?: number }).processID
  if (pid === undefined) throw new Error('the driver told no backend pid')
  expect(pid).not.toBe(await backendPid(observer))
  return pid
}
