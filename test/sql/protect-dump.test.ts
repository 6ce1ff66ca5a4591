import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { createTestDatabase } from '../support/postgres/database.ts'
import { acquire, grantTo, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'

const database = useDatabase()
const run = promisify(execFile)

test('protection, leases and tokens survive pg_dump and restore', async ({ skip }) => {
  const session = await database.connect()
  const version = Number(await scalar(session, "SELECT current_setting('server_version_num')::int / 10000"))
  // A dump by an older program than the server is refused, one by a newer may not restore.
  const tools = `/usr/lib/postgresql/${version}/bin`
  if (!existsSync(join(tools, 'pg_dump'))) {
    console.log(`skipped: no pg_dump of version ${version}`)
    skip(`skipped: no pg_dump of version ${version}`)
  }
  await session.query(`CREATE TABLE payouts (id integer); SELECT elect.protect_table('payouts', 'billing');
    CREATE TABLE parts (id integer) PARTITION BY LIST (id); CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
    SELECT elect.protect_table('parts', 'billing')`)
  const token = await grantTo(session, 'billing', 'ada', '1 hour')

  const folder = await mkdtemp(join(tmpdir(), 'pg-elect-dump-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const dump = join(folder, 'dump.sql')
  await run(join(tools, 'pg_dump'), ['-d', database.connectionString, '-f', dump])
  await using copy = await createTestDatabase({ empty: true })
  await run(join(tools, 'psql'), [
    '-X',
    '-q',
    '-v',
    'ON_ERROR_STOP=1',
    '-d',
    copy.connectionString,
    '-f',
    dump,
  ])

  const restored = await copy.connect()
  const shown = 'SELECT target::text, lease, enabled FROM elect.protected_tables ORDER BY 1'
  expect(await rowsOf(restored, shown)).toEqual(await rowsOf(session, shown))
  for (const write of [
    'INSERT INTO payouts VALUES (1)',
    'INSERT INTO part_1 VALUES (1)',
    'TRUNCATE part_1',
  ]) {
    expect(await sqlStateOf(restored.query(write))).toBe('LE001')
  }
  await restored.query('CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2)')
  expect(await sqlStateOf(restored.query('TRUNCATE part_2'))).toBe('LE001')
  expect(await acquire(restored, 'billing', 'bob')).toMatchObject({ granted: false, holder: 'ada', token })
  expect(await scalar(restored, "SELECT elect.release_lease('billing', $1)", [token])).toBe(true)
  // Whoever was granted it after the dump may trust that still: a restored dump is a new epoch.
  expect(await acquire(restored, 'billing', 'bob')).toMatchObject({ granted: false, holder: null })
  await restored.query('SELECT elect.configure(grace => false)')
  expect((await acquire(restored, 'billing', 'bob')).token).toBeGreaterThan(token)
})
