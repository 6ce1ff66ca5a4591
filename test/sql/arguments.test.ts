import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { failureOf, grantTo, rowsOf, sqlStateOf, useDatabase } from './leases.ts'

const database = useDatabase()
let client: pg.Client
let token: number

beforeAll(async () => {
  client = await database.connect()
  token = await grantTo(client, 'taken', 'ada', '1 hour')
  // One that waits, so that there is a place that a bad call could touch.
  await client.query("SELECT elect.acquire_lease('taken', 'waits', '1 hour', wait => true)")
})

/** The whole tables, with the place and the writer of each row. */
async function tablesAsTheyAre(): Promise<unknown[]> {
  return [
    await rowsOf(client, 'SELECT ctid, xmin, xmax, l.* FROM elect.leases l ORDER BY name'),
    await rowsOf(client, 'SELECT ctid, xmin, xmax, c.* FROM elect.candidates c ORDER BY lease, candidate'),
  ]
}

/** What this session would still keep others out with. */
function sessionLocks(): Promise<unknown[]> {
  return rowsOf(client, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
}

interface BadCall {
  readonly call: string
  /** What the message says of expected and got. */
  readonly message: string
}

const nameMessage = 'Invalid lease name: expected 1 to 200 bytes, got'
const textMessage = (argument: string) => `Invalid ${argument}: expected 1 to 500 bytes, got`
const tokenMessage = 'Invalid token: expected a number from 1 on, got'
const ttlMessage = 'Invalid ttl: expected 100 milliseconds to 24 hours without months, got'
const tooLongName = `repeat('x', 201)`
const tooLongText = `repeat('x', 501)`

/** One function for each place where a lease is named: `$` stands for the name. */
const calls = {
  acquire_lease: "elect.acquire_lease($, 'bob')",
  renew_lease: 'elect.renew_lease($, 1)',
  renew_leases: 'elect.renew_leases(ARRAY[$]::text[], ARRAY[1]::bigint[])',
  release_lease: 'elect.release_lease($, 1)',
  acquire_leases: "elect.acquire_leases(ARRAY[$]::text[], '{bob}', '{15 s}')",
  release_leases: 'elect.release_leases(ARRAY[$]::text[], ARRAY[1]::bigint[])',
  transfer_lease: "elect.transfer_lease($, 1, 'bob')",
  compare_and_swap: "elect.compare_and_swap($, 'b', null)",
  compare_and_swap_version: "elect.compare_and_swap_version($, 'b', 0)",
  get_lease: 'elect.get_lease($)',
  leave_queue: "elect.leave_queue($, 'bob')",
  refresh_candidates: "elect.refresh_candidates(ARRAY[$]::text[], '{bob}')",
  get_candidacy: "elect.get_candidacy($, 'bob')",
  get_candidates: 'elect.get_candidates($)',
  request_step_down: 'elect.request_step_down($)',
  bind_lease: 'elect.bind_lease($, 1)',
  take_over: "elect.take_over($, 'bob')",
  acquire_queued: "elect.acquire_queued($, 'bob')",
  release_queued: 'elect.release_queued($, 1)',
  advisory_lock: 'elect.advisory_lock($)',
  assert_lease: 'elect.assert_lease($, 1)',
  force_release: "elect.force_release($, 'a test')",
  try_advisory_lock: 'elect.try_advisory_lock($)',
  try_advisory_xact_lock: 'elect.try_advisory_xact_lock($)',
  advisory_unlock: 'elect.advisory_unlock($)',
  lease_channel: 'elect.lease_channel($)',
  listen: 'elect.listen(ARRAY[$]::text[])',
  unlisten: 'elect.unlisten(ARRAY[$]::text[])',
}

const badNames: BadCall[] = Object.values(calls).flatMap((call) => [
  { call: call.replace('$', "''"), message: `${nameMessage} 0 bytes` },
  { call: call.replace('$', 'null'), message: `${nameMessage} null` },
  { call: call.replace('$', tooLongName), message: `${nameMessage} 201 bytes` },
])

const badTexts: BadCall[] = [
  ['holder', "elect.acquire_lease('new', $)"],
  ['holder', "elect.acquire_lease('taken', $, wait => true)"],
  ['holder', "elect.acquire_leases('{new}', ARRAY[$]::text[], '{15 s}')"],
  ['holder', "elect.leave_queue('taken', $)"],
  ['holder', "elect.refresh_candidates('{taken}', ARRAY[$]::text[])"],
  ['holder', "elect.get_candidacy('taken', $)"],
  ['holder', "elect.take_over('taken', $)"],
  ['holder', "elect.acquire_queued('new', $)"],
  ['reason', "elect.force_release('taken', $)"],
].flatMap(([argument = '', call = '']) => [
  { call: call.replace('$', "''"), message: `${textMessage(argument)} 0 bytes` },
  { call: call.replace('$', 'null'), message: `${textMessage(argument)} null` },
  { call: call.replace('$', tooLongText), message: `${textMessage(argument)} 501 bytes` },
])

const badValues: BadCall[] = [
  // Null is fine as a successor: it means the first in line.
  { call: "elect.transfer_lease('taken', 1, '')", message: `${textMessage('successor')} 0 bytes` },
  {
    call: `elect.transfer_lease('taken', 1, ${tooLongText})`,
    message: `${textMessage('successor')} 501 bytes`,
  },
  {
    call: `elect.compare_and_swap('new', ${tooLongText}, null)`,
    message: `${textMessage('next')} 501 bytes`,
  },
  {
    call: `elect.compare_and_swap('taken', 'b', ${tooLongText})`,
    message: `${textMessage('current')} 501 bytes`,
  },
  {
    call: `elect.compare_and_swap_version('new', ${tooLongText}, 0)`,
    message: `${textMessage('next')} 501 bytes`,
  },
]

const badTokens: BadCall[] = [
  "elect.renew_lease('taken', $)",
  "elect.renew_leases('{taken}', ARRAY[$]::bigint[])",
  "elect.release_lease('taken', $)",
  "elect.release_leases('{taken}', ARRAY[$]::bigint[])",
  "elect.transfer_lease('taken', $, 'bob')",
  "elect.assert_lease('taken', $)",
  "elect.bind_lease('taken', $)",
  "elect.release_queued('taken', $)",
].flatMap((call) =>
  ['0', '-1', 'null'].map((bad) => ({ call: call.replace('$', bad), message: `${tokenMessage} ${bad}` })),
)

const versionMessage = 'Invalid version: expected a number from 0 on, got'
const badVersions: BadCall[] = ['-1', 'null'].map((bad) => ({
  call: `elect.compare_and_swap_version('taken', 'b', ${bad})`,
  message: `${versionMessage} ${bad}`,
}))

/** Null is a bad ttl only for a grant: elsewhere it means as before, or for ever. */
const badTtls: BadCall[] = [
  { call: "elect.acquire_lease('new', 'bob', null)", message: `${ttlMessage} null` },
  { call: "elect.take_over('taken', 'bob', null)", message: `${ttlMessage} null` },
  { call: "elect.acquire_queued('new', 'bob', null)", message: `${ttlMessage} null` },
  ...[
    "elect.acquire_lease('new', 'bob', $)",
    "elect.acquire_lease('taken', 'bob', $, wait => true)",
    "elect.take_over('taken', 'bob', $)",
    "elect.acquire_queued('new', 'bob', $)",
    "elect.acquire_leases('{new}', '{bob}', ARRAY[$]::interval[])",
    "elect.renew_lease('taken', 1, $)",
    "elect.renew_leases('{taken}', '{1}', $)",
    "elect.compare_and_swap('new', 'b', null, $)",
    "elect.compare_and_swap_version('new', 'b', 0, $)",
  ].flatMap((call) =>
    ['00:00:00', '-00:00:01', '00:00:00.099999', '24:00:00.000001', '1 day 00:00:01', '1 mon', '1 year'].map(
      (bad) => ({ call: call.replace('$', `interval '${bad}'`), message: `${ttlMessage} ${bad}` }),
    ),
  ),
  // Within 24 hours as intervals compare, and still with a month in it.
  {
    call: "elect.acquire_lease('new', 'bob', interval '1 mon -29 days -12:00:00')",
    message: `${ttlMessage} 1 mon -29 days -12:00:00`,
  },
]

/** A statement that waits holds up vacuum: it may for a second. */
const badWaits: BadCall[] = [
  "elect.acquire_queued('new', 'bob', longest => $)",
  "elect.advisory_lock('new', $)",
  "elect.bind_lease('taken', 1, $)",
  "elect.take_over('taken', 'bob', longest => $)",
].flatMap((call) =>
  ['00:00:00', '00:00:00.000999', '00:00:01.000001', '-00:00:01', '1 mon', null].map((bad) => ({
    call: call.replace('$', bad === null ? 'null' : `interval '${bad}'`),
    message: `Invalid longest: expected 1 millisecond to 1 second, got ${bad}`,
  })),
)

const badChoices: BadCall[] = [
  {
    call: "elect.acquire_lease('taken', 'bob', wait => null)",
    message: 'Invalid wait: expected true or false, got null',
  },
  {
    call: "elect.transfer_lease('taken', 1, 'bob', null)",
    message: 'Invalid must_wait: expected true or false, got null',
  },
  {
    call: "elect.force_release('taken', 'a test', null)",
    message: 'Invalid terminate: expected true or false, got null',
  },
]

const badOthers: BadCall[] = [
  ...[
    "elect.acquire_lease('taken', 'bob', wait => true, backend => $)",
    "elect.acquire_share('new', 'bob', wait => true, backend => $)",
    "elect.refresh_candidates('{taken}', '{waits}', $)",
  ].flatMap((call) =>
    ['0', '-1'].map((bad) => ({
      call: call.replace('$', bad),
      message: `Invalid backend: expected the process id of a session, or null for this one, got ${bad}`,
    })),
  ),
  ...[
    "elect.acquire_lease('new', 'bob', $)",
    "elect.acquire_lease('taken', 'bob', $, wait => true)",
    "elect.take_over('taken', 'bob', $)",
    "elect.acquire_queued('new', 'bob', $)",
  ].map((call) => ({
    call: call.replace('$', "metadata => to_jsonb(repeat('x', 4095))"),
    message: 'Invalid metadata: expected at most 4096 bytes of JSON, got 4097',
  })),
  ...['null', "'{}'", "'{a,b}'"].map((bad) => ({
    call: `elect.refresh_candidates('{taken}', ${bad})`,
    message: `Invalid holders: expected one for each of 1 names, got ${{ null: 'null', "'{}'": '0' }[bad] ?? '2'}`,
  })),
  {
    call: "elect.refresh_candidates(null, '{a}')",
    message: 'Invalid holders: expected one for each of null names, got 1',
  },
  // One bad pair spoils the call for all.
  {
    call: "elect.refresh_candidates('{taken,taken}', ARRAY['waits', ''])",
    message: `${textMessage('holder')} 0 bytes`,
  },
  ...['null', "'{}'", "'{1,2}'"].map((bad) => ({
    call: `elect.renew_leases('{taken}', ${bad})`,
    message: `Invalid tokens: expected one for each of 1 names, got ${{ null: 'null', "'{}'": '0' }[bad] ?? '2'}`,
  })),
  {
    call: "elect.renew_leases(null, '{1}')",
    message: 'Invalid tokens: expected one for each of null names, got 1',
  },
  ...['null', "'{}'", "'{1,2}'"].map((bad) => ({
    call: `elect.release_leases('{taken}', ${bad})`,
    message: `Invalid tokens: expected one for each of 1 names, got ${{ null: 'null', "'{}'": '0' }[bad] ?? '2'}`,
  })),
  ...[
    ["null, '{a}', '{1 s}'", 'null names, got 1, 1 and null'],
    ["'{new}', null, '{1 s}'", '1 names, got null, 1 and null'],
    ["'{new}', '{a,b}', '{1 s}'", '1 names, got 2, 1 and null'],
    ["'{new}', '{a}', null", '1 names, got 1, null and null'],
    ["'{new}', '{a}', '{1 s}', '{}'", '1 names, got 1, 1 and 0'],
  ].map(([values, got]) => ({
    call: `elect.acquire_leases(${values})`,
    message: `Invalid holders, ttls or metadata_list: expected one for each of ${got}`,
  })),
  ...['null', "interval '-00:00:01'"].map((bad) => ({
    call: `elect.prune_leases(${bad})`,
    message: `Invalid older_than: expected 0 seconds to 100 years, got ${bad.match(/-[\d:]+/)?.[0] ?? bad}`,
  })),
  {
    call: `elect.grant_access('elect_user', 'owner')`,
    message: 'Invalid kind: expected a role and user, reader or admin, got elect_user and owner',
  },
  {
    call: `elect.grant_access('elect_user', null)`,
    message: 'Invalid kind: expected a role and user, reader or admin, got elect_user and null',
  },
  {
    call: `elect.grant_access(null, 'user')`,
    message: 'Invalid kind: expected a role and user, reader or admin, got null and user',
  },
]

async function expectRefused({ call, message }: BadCall): Promise<void> {
  const before = await tablesAsTheyAre()
  const failure = await failureOf(client.query(`SELECT * FROM ${call}`))
  expect({ code: failure.code, message: failure.message }).toEqual({ code: '22023', message })
  expect(failure.hint).toBeTruthy()
  expect(await tablesAsTheyAre()).toEqual(before)
  expect(await sessionLocks()).toEqual([])
}

describe.each([
  ['names', badNames],
  ['holders, successors and reasons', badTexts],
  ['values of registers and successors', badValues],
  ['tokens', badTokens],
  ['versions', badVersions],
  ['ttls', badTtls],
  ['waits', badWaits],
  ['choices', badChoices],
  ['others', badOthers],
])('bad %s are refused with 22023, what was expected and a hint', (_what, badCalls) => {
  test.each(badCalls)('$call', expectRefused)
})

test('an infinite interval is refused', async (context) => {
  const known = await sqlStateOf(client.query("SELECT interval 'infinity'"))
  if (known !== '00000') return context.skip('the server has no infinite intervals before version 17')
  for (const bad of ['infinity', '-infinity']) {
    await expectRefused({
      call: `elect.acquire_lease('new', 'bob', interval '${bad}')`,
      message: `${ttlMessage} ${bad}`,
    })
    await expectRefused({
      call: `elect.prune_leases(interval '${bad}')`,
      message: `Invalid older_than: expected 0 seconds to 100 years, got ${bad}`,
    })
  }
})

test('the limits themselves are fine', async () => {
  for (const ttl of ['100 milliseconds', '24 hours', '1 day', '86400 seconds']) {
    await grantTo(client, `ttl ${ttl}`, 'ada', ttl)
  }
  await grantTo(client, 'n'.repeat(200), 'h'.repeat(500))
  await client.query("SELECT elect.renew_lease('taken', 9223372036854775807)")
  expect(await rowsOf(client, 'SELECT FROM elect.current_leases WHERE token = $1', [token])).toHaveLength(1)
})

test('a zero byte is refused by the server, before any function sees it', async () => {
  const before = await tablesAsTheyAre()
  for (const values of [
    ['new\0', 'bob'],
    ['new', 'b\0b'],
  ]) {
    expect(await sqlStateOf(client.query('SELECT elect.acquire_lease($1, $2)', values))).toBe('22021')
  }
  expect(await tablesAsTheyAre()).toEqual(before)
})
