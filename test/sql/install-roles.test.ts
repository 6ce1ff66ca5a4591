import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { installSchema } from '../support/postgres/install.ts'
import { acquire, grantTo, rowsOf, scalar, sqlStateOf } from './leases.ts'
import { password, useOwnServer } from './own-server.ts'

// Roles belong to the whole server, so these tests have one of their own: there, the roles of the schema do not
// exist before an installer makes them.

const server = useOwnServer()
let superuser: pg.Client

beforeAll(async () => {
  superuser = await server.connect(server.urlOf('postgres'))
})

/** A database with an owner of its own, and an app's role that may connect to it. */
async function createOwner(name: string, attributes = ''): Promise<void> {
  await superuser.query(`CREATE ROLE ${name} LOGIN ${attributes} PASSWORD '${password}'`)
  await superuser.query(`CREATE ROLE ${name}_app LOGIN PASSWORD '${password}'`)
  await superuser.query(`CREATE DATABASE ${name} OWNER ${name} TEMPLATE template0`)
}

const roles = () =>
  rowsOf(superuser, "SELECT rolname FROM pg_roles WHERE rolname ~ '^elect_(owner|user|reader|admin)$'")

/** Who owns the functions and relations of the schema. */
async function ownersIn(database: string): Promise<string[]> {
  const client = await server.connect(server.urlOf(database))
  const text = `SELECT DISTINCT owner::regrole::text FROM (
      SELECT proowner AS owner FROM pg_proc WHERE pronamespace = 'elect'::regnamespace
      UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = 'elect'::regnamespace
    ) AS objects`
  return (await rowsOf<{ owner: string }>(client, text)).map(({ owner }) => owner)
}

/** The installer gives an app access, and the app can do its work and nothing more. */
async function expectAccessToWork(installer: string): Promise<void> {
  const owner = await server.connect(server.urlOf(installer, installer))
  const app = await server.connect(server.urlOf(installer, `${installer}_app`))
  expect(await sqlStateOf(acquire(app, 'lease', 'ada'))).toBe('42501')
  await owner.query('SELECT elect.grant_access($1, $2)', [`${installer}_app`, 'user'])
  const token = await grantTo(app, 'lease', 'ada')
  expect(await scalar(app, "SELECT granted FROM elect.renew_lease('lease', $1)", [token])).toBe(true)
  expect(await rowsOf(app, 'SELECT holder FROM elect.current_leases')).toEqual([{ holder: 'ada' }])
  expect(await sqlStateOf(app.query('UPDATE elect.leases SET expires_at = null'))).toBe('42501')
  expect(await sqlStateOf(app.query("SELECT elect.force_release('lease', 'no right')"))).toBe('42501')
  expect(await sqlStateOf(app.query('CREATE TABLE elect.mine ()'))).toBe('42501')
  expect(await scalar(owner, "SELECT elect.force_release('lease', 'the installer may')")).toBe(true)
}

// In this order: the first installer finds no roles and cannot make them, the second one makes them.
describe.sequential('installed by', () => {
  test('a role that may not create roles: it keeps the objects and gives access itself', async () => {
    await createOwner('plain')
    await installSchema(server.urlOf('plain', 'plain'))
    expect(await roles()).toEqual([])
    expect(await ownersIn('plain')).toEqual(['plain'])
    await expectAccessToWork('plain')
  })

  test('a role that may create roles: the objects belong to elect_owner', async () => {
    await createOwner('creator', 'CREATEROLE')
    await installSchema(server.urlOf('creator', 'creator'))
    expect(await roles()).toHaveLength(4)
    expect(await ownersIn('creator')).toEqual(['elect_owner'])
    await expectAccessToWork('creator')
  })

  test('a role that finds the roles made by another: it works, whoever owns the objects', async () => {
    await createOwner('second')
    await installSchema(server.urlOf('second', 'second'))
    expect(await ownersIn('second')).toEqual(['second'])
    await expectAccessToWork('second')
  })

  test('another that may create roles, but did not create these', async () => {
    await createOwner('third', 'CREATEROLE')
    await installSchema(server.urlOf('third', 'third'))
    expect(await ownersIn('third')).toHaveLength(1)
    await expectAccessToWork('third')
  })

  test('a superuser', async () => {
    await createOwner('superuser_made')
    await installSchema(server.urlOf('superuser_made'))
    expect(await ownersIn('superuser_made')).toEqual(['elect_owner'])
    const owner = await server.connect(server.urlOf('superuser_made', 'superuser_made'))
    expect(await sqlStateOf(acquire(owner, 'lease', 'ada'))).toBe('42501')
    await superuser.query('GRANT elect_user TO superuser_made')
    await grantTo(owner, 'lease', 'ada')
  })

  test('a role that does not own the schema of that name: refused', async () => {
    await createOwner('squatted')
    const client = await server.connect(server.urlOf('squatted'))
    await client.query('CREATE SCHEMA elect')
    await expect(installSchema(server.urlOf('squatted', 'squatted'))).rejects.toMatchObject({ code: '42501' })
    expect(await rowsOf(client, "SELECT FROM pg_proc WHERE pronamespace = 'elect'::regnamespace")).toEqual([])
  })

  test('a role that may not create schemas: refused', async () => {
    await createOwner('poor')
    await expect(installSchema(server.urlOf('poor', 'plain_app'))).rejects.toMatchObject({ code: '42501' })
  })
})
