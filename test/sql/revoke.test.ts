import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { backendPid, whenBlocked } from '../support/postgres/session.ts'
import { sqlStateOf, useDatabase } from './leases.ts'

const database = useDatabase()
let superuser: pg.Client
beforeAll(async () => {
  superuser = await database.connect()
})

const role = 'elect_test_revoked'

test('what grant_access gave, revoke_access takes back, and the role can be dropped', async () => {
  await superuser.query(`CREATE ROLE ${role}; SELECT elect.grant_access('${role}', 'admin')`)
  await superuser.query(`SELECT elect.revoke_access('${role}')`)
  await superuser.query(`SET ROLE ${role}`)
  expect(await sqlStateOf(superuser.query("SELECT * FROM elect.get_lease('x')"))).toBe('42501')
  await superuser.query('RESET ROLE')
  await superuser.query(`DROP ROLE ${role}`)
})

test('a role that still has access goes the usual way: DROP OWNED, DROP ROLE', async () => {
  await superuser.query(`CREATE ROLE ${role}; SELECT elect.grant_access('${role}', 'user')`)
  await superuser.query(`DROP OWNED BY ${role}`)
  await superuser.query(`DROP ROLE ${role}`)
})

test('no role is a bad argument', async () => {
  expect(await sqlStateOf(superuser.query('SELECT elect.revoke_access(NULL)'))).toBe('22023')
})

test('two that change access at once do so one after the other', async () => {
  const [one, other] = [await database.connect(), await database.connect()]
  await superuser.query(`CREATE ROLE ${role}`)
  const pid = await backendPid(other)
  await one.query(`BEGIN; SELECT elect.grant_access('${role}', 'reader')`)
  const revoked = other.query(`SELECT elect.revoke_access('${role}')`)
  await whenBlocked(superuser, pid)
  await one.query('COMMIT')
  await revoked
  await superuser.query(`DROP ROLE ${role}`)
})
