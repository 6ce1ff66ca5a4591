import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient, TTL_MS } from './clients.ts'
import { startContender } from './processes.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

describe('real processes', () => {
  test('after a crash another leads, once the lease has expired and not before', async () => {
    const [first, second] = await Promise.all([
      startContender(database, 'crash', TTL_MS),
      startContender(database, 'crash', TTL_MS),
    ])
    first.tell('lead')
    const { token } = await first.reported('working')
    second.tell('lead')

    await first.kill('SIGKILL')
    const observer = await database.connect()
    const { rows } = await observer.query<{ expires_at: Date }>(
      `SELECT expires_at FROM elect.get_lease('crash')`,
    )

    const successor = await second.reported('working')
    expect(successor.token).toBeGreaterThan(token)
    const granted = await observer.query<{ acquired_at: Date }>(
      `SELECT acquired_at FROM elect.get_lease('crash')`,
    )
    // By the server's clock alone: never before the old lease had run out, and within a second after.
    const waitedMs = Number(granted.rows[0]?.acquired_at) - Number(rows[0]?.expires_at)
    expect(waitedMs).toBeGreaterThanOrEqual(0)
    expect(waitedMs).toBeLessThan(1000)
  })

  test('a process that closes in order hands over at once', async () => {
    // A ttl that the test would not outlive: the successor can only have been told.
    const ttlMs = 120_000
    const [first, second] = await Promise.all([
      startContender(database, 'close', ttlMs),
      startContender(database, 'close', ttlMs),
    ])
    first.tell('lead')
    await first.reported('working')
    second.tell('lead')
    const { client } = openClient(database)
    const leader = await client.get('close')

    first.tell('close')
    const stopped = await first.reported('stopped')
    expect(stopped.token).toBe(leader?.token)
    const successor = await second.reported('working')
    expect(successor.token).toBeGreaterThan(stopped.token)
  })

  test('a process that is stopped past its deadline sees, when it goes on, that it leads no more', async () => {
    const [first, second] = await Promise.all([
      startContender(database, 'stopped', TTL_MS),
      startContender(database, 'stopped', TTL_MS),
    ])
    first.tell('lead')
    await first.reported('working')
    second.tell('lead')

    first.process.kill('SIGSTOP')
    const successor = await second.reported('working')
    // This question waits in the pipe: it is the first thing that the process does when it goes on.
    first.tell('look')
    first.process.kill('SIGCONT')
    expect(await first.reported('looked')).toMatchObject({ isHeld: false })
    const stopped = await first.reported('stopped')
    expect(stopped.isHeld).toBe(false)
    expect(successor.token).toBeGreaterThan(stopped.token)
  })

  test('of five processes one works at a time, through a chain of kills, with growing tokens', async () => {
    const contenders = await Promise.all(
      Array.from({ length: 5 }, () => startContender(database, 'chain', TTL_MS)),
    )
    for (const contender of contenders) contender.tell('lead')
    const tokens: number[] = []
    for (let round = 0; round < 3; round++) {
      const alive = contenders.filter(({ process: { signalCode } }) => signalCode === null)
      const leader = await Promise.race(
        alive.map(async (one) => ({ one, report: await one.reported('working') })),
      )
      expect(alive.flatMap(({ reports }) => reports).filter(({ event }) => event === 'working')).toHaveLength(
        1,
      )
      tokens.push(leader.report.token)
      await leader.one.kill('SIGKILL')
    }
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b))
    expect(new Set(tokens).size).toBe(3)
  })
})
