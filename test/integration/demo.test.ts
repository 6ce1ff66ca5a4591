import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../support/postgres/database.ts'
import { freePort } from '../support/postgres/port.ts'
import { until } from './support/helpers.ts'
import { NpmRun } from './support/npm-run.ts'

/** A run of the demo. */
class Demo extends NpmRun {
  constructor(databaseUrl: string, args: readonly string[] = []) {
    super('demo', databaseUrl, args)
  }

  /** The pids of the candidates so far. */
  get candidates(): number[] {
    return [...this.output.matchAll(/candidate-\d stands for election, pid (\d+)/g)].map(([, pid]) =>
      Number(pid),
    )
  }
}

/** A process that has ended but was not waited for is not alive. */
async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.trim() !== '' && !stdout.trim().startsWith('Z')
}

async function untilNoneAlive(pids: readonly number[]): Promise<void> {
  await until('all candidates have ended', async () => !(await Promise.all(pids.map(isAlive))).includes(true))
}

test('the demo tells its story and leaves only the schema', { timeout: 60_000 }, async () => {
  await using database = await createTestDatabase({ empty: true })
  const demo = new Demo(database.connectionString)
  const exitCode = await demo.end

  const told = [
    /connecting to the database at DATABASE_URL/,
    /installing schema elect in PostgreSQL/,
    /starting three candidates/,
    /s {2}candidate-\d leads, token \d+/,
    /kill -KILL \d+: candidate-\d is gone/,
    /its lease must run out first, in \d/,
    /s {2}candidate-\d leads, token \d+/,
    /succession took \d\.\d+ s/,
    /kill -TERM \d+: candidate-\d stops its work/,
    /s {2}candidate-\d leads, token \d+/,
    /hand-over took \d+ ms/,
    /ok {2}the leader renewed its lease while it worked: \d times/,
    /ok {2}after the crash another one led within TTL \+ 1 s: \d\.\d+ s/,
    /ok {2}and not before the lease of the dead one had run out/,
    /ok {2}after the orderly stop nobody waited for the TTL: \d+ ms/,
    /ok {2}tokens grew: \d+ < \d+ < \d+/,
    /ok {2}no two worked at the same time: \d{2,} log entries/,
    /All as it should be, after \d+\.\d s\.\s*$/,
  ]
  const inOrder = new RegExp(told.map(({ source }) => source).join('[^]*?'))
  expect(demo.output).toMatch(inOrder)
  expect(exitCode).toBe(0)
  expect(demo.output).not.toContain('\x1b')

  const reigns = [...demo.output.matchAll(/s {2}(candidate-\d) leads, token (\d+)/g)]
  const tokens = reigns.map(([, , token]) => Number(token))
  expect(new Set(reigns.map(([, name]) => name)).size).toBe(3)
  expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other))

  expect(demo.candidates).toHaveLength(3)
  await untilNoneAlive(demo.candidates)
  const session = await database.connect()
  const { rows } = await session.query(
    `SELECT elect.schema_version() AS version, count(*) AS held FROM elect.current_leases`,
  )
  expect(rows).toEqual([{ version: expect.any(Number), held: '0' }])
  const others = 'SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'
  await until('all sessions have ended', async () => (await session.query(others)).rowCount === 0)
})

test('Ctrl-C in the middle leaves neither a process nor a folder', { timeout: 60_000 }, async () => {
  const demo = new Demo('')
  await demo.says(/kill -KILL/)
  expect(demo.candidates).toHaveLength(3)
  expect(existsSync(demo.folder)).toBe(true)
  demo.interrupt()
  await demo.end
  expect(demo.output).toMatch(/The demo was interrupted by SIGINT\s*$/)
  // No waiting here: they must be gone before the demo is.
  expect((await Promise.all(demo.candidates.map(isAlive))).includes(true)).toBe(false)
  expect(existsSync(demo.folder)).toBe(false)
})

test('a killed demo leaves neither a process nor a folder', { timeout: 60_000 }, async () => {
  const demo = new Demo('')
  await demo.says(/it renews its lease/)
  const { candidates, folder } = demo
  expect(candidates).toHaveLength(3)
  await demo.kill()
  await untilNoneAlive(candidates)
  await until(`${folder} is gone`, () => !existsSync(folder))
})

test('candidates end with a killed demo also where the database goes on', { timeout: 60_000 }, async () => {
  await using database = await createTestDatabase()
  const demo = new Demo(database.connectionString)
  await demo.says(/it renews its lease/)
  expect(demo.candidates).toHaveLength(3)
  await demo.kill()
  await untilNoneAlive(demo.candidates)
})

test('a database that is not there is said in one line', async () => {
  const port = await freePort()
  const demo = new Demo(`postgres://nobody@127.0.0.1:${port}/nowhere`)
  expect(await demo.end).toBe(1)
  expect(demo.output).toMatch(/^The demo failed: cannot use the database at DATABASE_URL: .*ECONNREFUSED.*$/m)
  expect(demo.output).not.toMatch(/^\s+at /m)
})

test('an unknown option is refused with the help', async () => {
  const demo = new Demo('', ['--kep'])
  expect(await demo.end).toBe(2)
  expect(demo.output).toMatch(/Unknown option '--kep'\n\nUsage: npm run demo/)
})
