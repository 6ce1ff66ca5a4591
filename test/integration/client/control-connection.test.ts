import { CompiledQuery } from 'kysely'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { ControlConnection } from '../../../src/connection.ts'
import { READING, type TargetSession } from '../../../src/hosts.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** A connection to the same server under two names, and how often it was lost. */
function connect(target: TargetSession) {
  const url = new URL(database.connectionString)
  const [host, port] = [url.hostname, url.port]
  const connectionString = url.href.replace(`@${url.host}`, `@${host}:${port},${host}:${port}`)
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const connection = new ControlConnection(
    { connectionString: `${connectionString}?target_session_attrs=${target}` },
    {
      clock: systemClock,
      random: Math.random,
      logger: silent,
      allowed: READING,
      timeoutMs: 10_000,
      retryIntervalMs: 20,
      ttlMs: 30_000,
    },
  )
  onTestFinished(() => connection.close())
  let losses = 0
  connection.on('lost', () => {
    losses += 1
  })
  const ask = (text: string, timeoutMs?: number) =>
    connection.execute<{ pid: number }>(CompiledQuery.raw(text), timeoutMs === undefined ? {} : { timeoutMs })
  const pid = async () => (await ask('SELECT pg_backend_pid() AS pid'))[0]?.pid
  const write = () => ask("SELECT elect.release_lease('nobody', 1), txid_current()")
  return { ask, pid, write, losses: () => losses }
}

describe('a session in which nothing can be written any more', () => {
  test('is given up as soon as the server tells so', async () => {
    const { ask, pid, losses } = connect('read-write')
    const before = await pid()
    await ask('SET default_transaction_read_only = on').catch(() => undefined)
    expect(await pid()).not.toBe(before)
    expect(losses()).toBe(1)
  })

  test('is given up at the first write that it refuses, where any server will do', async () => {
    const { ask, pid, write, losses } = connect('any')
    const before = await pid()
    await ask('SET default_transaction_read_only = on')
    expect(await pid()).toBe(before)
    await expect(write()).rejects.toMatchObject({ sqlState: '25006' })
    await write()
    expect(losses()).toBe(1)
    expect(await pid()).not.toBe(before)
  })
})

test('all that is asked at once goes over one session', async () => {
  const { pid } = connect('read-write')
  const pids = await Promise.all([pid(), pid(), pid()])
  expect(new Set(pids).size).toBe(1)
})

test('a question that could not be sent has had no effect, and says so', async () => {
  const { ask } = connect('standby')
  await expect(ask('SELECT 1')).rejects.toMatchObject({
    name: 'ConnectionError',
    mayHaveTakenEffect: false,
  })
})

test('a question that is not answered in time is given up, with its session', async () => {
  const { ask, pid, losses } = connect('any')
  const before = await pid()
  await expect(ask('SELECT pg_sleep(3)', 50)).rejects.toMatchObject({
    name: 'ConnectionError',
    mayHaveTakenEffect: true,
  })
  expect(await pid()).not.toBe(before)
  expect(losses()).toBe(1)
})
