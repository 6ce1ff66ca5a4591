import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { acquire, grantTo, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { callOfEach, createRole } from './roles.ts'

const database = useDatabase()
let superuser: pg.Client
let session: pg.Client

beforeAll(async () => {
  superuser = await database.connect()
  session = await database.connect()
})

/** What may be called, by the kind of access. */
const reader = [
  // For the view, which runs the functions that it names with the rights of its reader.
  'expiry_of',
  'get_channels',
  'get_candidates',
  'get_guards',
  'get_lease',
  'get_settings',
  'get_shared',
  'get_shares',
  'is_held',
  'lease_channel',
  'listen',
  'remaining_time',
  'schema_version',
  'session_expiry',
  'session_remaining',
  'settle_connection',
  'trigger_lease',
  'unlisten',
]
const user = [
  ...reader,
  'acquire_lease',
  'acquire_leases',
  'acquire_queued',
  'acquire_share',
  'advisory_lock',
  'advisory_unlock',
  'assert_lease',
  'begin_operation',
  'bind_lease',
  'compare_and_swap',
  'compare_and_swap_version',
  'end_session',
  'enter_barrier',
  'fail_operation',
  'finish_operation',
  'get_assignment',
  'get_candidacy',
  // Triggers of protected tables are made and run with the rights of the tables' owners.
  'guard_write',
  'invalid_argument',
  'is_name',
  'leave_queue',
  'listen_here',
  'open_session',
  'protect_from_truncate',
  'protect_table',
  'refresh_candidates',
  'release_lease',
  'release_leases',
  'release_queued',
  'renew_lease',
  'renew_leases',
  'renew_session',
  'set_capacity',
  'take_over',
  'transfer_lease',
  'try_advisory_lock',
  'try_advisory_xact_lock',
  'unprotect_table',
  'valid_name',
]
const admin = [
  ...user,
  'configure',
  'force_release',
  'grant_access',
  'new_epoch',
  'prune_leases',
  'prune_operations',
  'request_step_down',
  'revoke_access',
]
const kinds = [
  ['reader', reader],
  ['user', user],
  ['admin', admin],
] as const

/** The functions that the role gets past 42501 with. */
async function callableAs(role: string): Promise<string[]> {
  const calls = await callOfEach(superuser)
  await session.query(`SET ROLE ${role}`)
  try {
    const callable: string[] = []
    for (const [name, call] of calls) {
      if ((await sqlStateOf(session.query(call))) !== '42501') callable.push(name)
    }
    return callable
  } finally {
    await session.query('RESET ROLE')
  }
}

const onTheTable = [
  'SELECT * FROM elect.leases',
  "INSERT INTO elect.leases (name, holder, token) VALUES ('x', 'x', 1)",
  "UPDATE elect.leases SET expires_at = 'infinity'",
  'DELETE FROM elect.leases',
  'TRUNCATE elect.leases',
  'SELECT FROM elect.leases FOR UPDATE',
  'DO $$ BEGIN LOCK elect.leases; END $$',
  'ALTER TABLE elect.leases DISABLE TRIGGER ALL',
  'SELECT * FROM elect.candidates',
  'UPDATE elect.candidates SET priority = 1',
  'DELETE FROM elect.candidates',
  'SELECT * FROM elect.shared_leases',
  'UPDATE elect.shared_leases SET capacity = 1',
  'DELETE FROM elect.shared_leases',
  'SELECT * FROM elect.sessions',
  "UPDATE elect.sessions SET expires_at = 'infinity'",
  'DELETE FROM elect.sessions',
  'SELECT FROM elect.sessions FOR UPDATE',
  'SELECT * FROM elect.session_losses',
  'DELETE FROM elect.session_losses',
]

async function expectNoTable(role: string): Promise<void> {
  await session.query(`SET ROLE ${role}`)
  for (const statement of onTheTable) {
    expect([statement, await sqlStateOf(session.query(statement))]).toEqual([statement, '42501'])
  }
  await session.query('RESET ROLE')
}

describe('a role without grants', () => {
  test('can call nothing and read nothing', async () => {
    const { name } = await createRole(superuser)
    expect(await callableAs(name)).toEqual([])
    await expectNoTable(name)
    await session.query(`SET ROLE ${name}`)
    expect(await sqlStateOf(session.query('SELECT * FROM elect.current_leases'))).toBe('42501')
    await session.query('RESET ROLE')
  })

  test('not even where the schema is open to it', async () => {
    const { name } = await createRole(superuser)
    await superuser.query(`GRANT USAGE ON SCHEMA elect TO ${name}`)
    expect(await callableAs(name)).toEqual([])
    await expectNoTable(name)
    await session.query(`SET ROLE ${name}`)
    expect(await sqlStateOf(session.query('SELECT * FROM elect.current_leases'))).toBe('42501')
    await session.query('RESET ROLE')
  })
})

describe.each(kinds)('a %s', (kind, functions) => {
  test('by its role can call exactly this, and never touches the table', async () => {
    expect(await callableAs(`elect_${kind}`)).toEqual(functions.toSorted())
    await expectNoTable(`elect_${kind}`)
  })

  test('by grant_access can do the same', async () => {
    const { name } = await createRole(superuser)
    await superuser.query('SELECT elect.grant_access($1, $2)', [name, kind])
    expect(await callableAs(name)).toEqual(functions.toSorted())
    await expectNoTable(name)
    await session.query(`SET ROLE ${name}`)
    expect(await sqlStateOf(session.query('SELECT * FROM elect.current_leases'))).toBe('00000')
    await session.query('RESET ROLE')
  })
})

test('a user can do its work, and a reader can watch it', async () => {
  await session.query('SET ROLE elect_user')
  const token = await grantTo(session, 'work', 'ada', '1 hour')
  const steps = [
    'SELECT granted FROM elect.renew_lease($1, $2)',
    'SELECT granted FROM elect.renew_leases(ARRAY[$1], ARRAY[$2::bigint])',
    'SELECT elect.assert_lease($1, $2) IS NOT NULL',
  ]
  for (const step of steps) expect(await scalar(session, step, ['work', token])).toBe(true)
  await session.query('SET ROLE elect_reader')
  expect(await rowsOf(session, "SELECT holder FROM elect.get_lease('work')")).toEqual([{ holder: 'ada' }])
  expect(await rowsOf(session, "SELECT holder FROM elect.current_leases WHERE name = 'work'")).toEqual([
    { holder: 'ada' },
  ])
  await session.query("SELECT * FROM elect.listen('{work}')")
  await session.query("SELECT elect.unlisten('{work}')")
  await session.query('SET ROLE elect_user')
  const { token: next } = await acquire(session, 'work', 'ada')
  // The line, with the rights of one who contends, and seen by one who watches.
  await session.query('SELECT elect.listen_here()')
  expect(await scalar(session, "SELECT rank FROM elect.acquire_lease('work', 'bob', wait => true)")).toBe(0)
  expect(await scalar(session, "SELECT rank FROM elect.refresh_candidates('{work}', '{bob}')")).toBe(0)
  expect(await scalar(session, "SELECT rank FROM elect.get_candidacy('work', 'bob')")).toBe(0)
  await session.query('SET ROLE elect_reader')
  expect(await scalar(session, "SELECT candidate FROM elect.get_candidates('work')")).toBe('bob')
  await session.query('SET ROLE elect_user')
  expect(await scalar(session, "SELECT granted FROM elect.leave_queue('work', 'bob')")).toBe(false)
  expect(await scalar(session, "SELECT elect.bind_lease('work', $1)", [next])).toBe(true)
  const queued = "SELECT token::float8 FROM elect.acquire_queued('queued', 'ada')"
  expect(
    await scalar(session, "SELECT elect.release_queued('queued', $1)", [await scalar(session, queued)]),
  ).toBe(true)
  expect(await scalar(session, "SELECT granted FROM elect.transfer_lease('work', $1, 'bob')", [next])).toBe(
    true,
  )
  expect(await scalar(session, "SELECT elect.compare_and_swap('work', 'eve', 'bob')")).toBe(true)
  expect(await scalar(session, "SELECT elect.try_advisory_lock('mutex')")).toBe(true)
  expect(await scalar(session, "SELECT elect.advisory_unlock('mutex')")).toBe(true)
  expect(await scalar(session, "SELECT elect.try_advisory_xact_lock('mutex')")).toBe(true)
  await session.query('SET ROLE elect_admin')
  expect(await scalar(session, "SELECT elect.request_step_down('work')")).toBe(true)
  expect(await scalar(session, "SELECT elect.force_release('work', 'a test')")).toBe(true)
  expect(await scalar(session, "SELECT elect.prune_leases('0 seconds')::int")).toBe(2)
  await session.query('RESET ROLE')
})

test('an admin gives access to others, and a user does not', async () => {
  const { name } = await createRole(superuser)
  await session.query('SET ROLE elect_user')
  expect(await sqlStateOf(session.query('SELECT elect.grant_access($1, $2)', [name, 'reader']))).toBe('42501')
  await session.query('SET ROLE elect_admin')
  await session.query('SELECT elect.grant_access($1, $2)', [name, 'user'])
  expect(await callableAs(name)).toEqual(user.toSorted())
})

test('grant_access takes a role whose name needs quotes', async () => {
  const { name } = await createRole(superuser, '; DROP')
  await superuser.query('SELECT elect.grant_access($1, $2)', [name, 'reader'])
  expect(await callableAs(name)).toEqual(reader.toSorted())
})
