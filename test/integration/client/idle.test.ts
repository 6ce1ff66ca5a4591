/** What those cost who only wait, and how one of them finds out that its session does not listen any more. */
import { EventEmitter, once } from 'node:events'
import type { CompiledQuery } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { ControlConnection } from '../../../src/connection.ts'
import type { PgElect } from '../../../src/index.ts'
import { Notifier } from '../../../src/notifier.ts'
import { getLease } from '../../../src/queries.ts'
import { silent } from '../../faults/primitives/uses.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

/** More than a second: a session is asked no more often than that whether it listens, however short the TTL. */
const TTL_MS = 1500
const COUNTED = 2

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** What clients of this process ask, statement by statement. */
function overheard() {
  const { prototype } = pg.Client
  const query = prototype.query
  const texts: string[] = []
  const asked = new EventEmitter<{ text: [] }>()
  prototype.query = function (this: pg.Client, ...args: never[]) {
    const [what] = args as unknown as [string | { text: string }]
    texts.push(typeof what === 'string' ? what : what.text)
    asked.emit('text')
    return (query as (...args: never[]) => unknown).apply(this, args)
  } as typeof query
  onTestFinished(() => {
    prototype.query = query
  })
  const matching = (pattern: RegExp) => texts.filter((text) => pattern.test(text))
  const until = async (pattern: RegExp, count: number) => {
    while (matching(pattern).length < count) await once(asked, 'text')
  }
  return { texts, matching, until }
}

async function heldForEver(name: string): Promise<void> {
  const session = await database.connect()
  await session.query("SELECT elect.compare_and_swap($1, 'leader', NULL)", [name])
}

type Wait = (elect: PgElect, name: string, signal: AbortSignal) => Promise<unknown>

const last = async (changes: AsyncIterable<unknown>) => {
  for await (const _ of changes);
}

describe('one that is idle asks the same once a TTL, and no more: whether all is as it was, and whether it still hears', () => {
  test.each<[string, Wait]>([
    ['an observer', (elect, name, signal) => last(elect.election(name).observe({ signal }))],
    ['who watches a key', (elect, name, signal) => last(elect.register(name).watch({ signal }))],
    ['who waits at a barrier', (elect, name, signal) => elect.barrier(name).wait({ signal })],
    ['who watches a group', (elect, name, signal) => last(elect.group(name).watch({ signal }))],
  ])('%s', async (who, wait) => {
    const { texts, until } = overheard()
    await heldForEver(who)
    const { client, log } = openClient(database, { ttlMs: TTL_MS })
    const stop = new AbortController()
    const waiting = wait(client, who, stop.signal).catch(() => undefined)
    const looks = /get_channels.*(get_lease|get_shares)/
    await until(looks, 1)
    const begun = texts.length
    await until(looks, 1 + COUNTED)
    // One that came too late, on a busy machine, had been made up for by a question of its own.
    expect(texts.length - begun).toBeLessThanOrEqual(COUNTED + 1)
    expect(log.lines.filter(({ message }) => message.includes('stopped listening'))).toEqual([])
    stop.abort()
    await waiting
  })
})

test('a candidate keeps its place by the same statements, and is handed the lease', async () => {
  const { matching, until } = overheard()
  const { client, log } = openClient(database, { ttlMs: TTL_MS })
  const lease = await openClient(database, { ttlMs: 60_000 }).client.acquire('line')
  const waiting = client.acquire('line')
  // Well beyond the end of a place that was not refreshed.
  await until(/get_channels.*refresh_candidates/, 4)
  expect((await client.candidates('line')).length).toBe(1)
  // When it had begun to listen.
  expect(matching(/get_candidacy/)).toHaveLength(1)
  await lease.release()
  expect((await waiting).isHeld).toBe(true)
  expect(log.lines.filter(({ message }) => message.includes('stopped listening'))).toEqual([])
})

test('a session that has stopped listening is found out by a look, and listens again', async () => {
  const parts = { clock: systemClock, random: Math.random, logger: silent, retryIntervalMs: 100 }
  const { connectionString } = database
  const connection = new ControlConnection(
    { connectionString },
    { ...parts, timeoutMs: 10_000, ttlMs: 9_000 },
  )
  onTestFinished(() => connection.close())
  const check = { intervalMs: 1, timeoutMs: 10_000 }
  // Only looks tell: by itself, it asks in an hour.
  const clock = { ...systemClock, now: () => systemClock.now(), setTimer: () => ({ cancel() {} }) }
  const notifier = new Notifier(connection, { ...parts, clock, pollIntervalMs: 1000, check })
  onTestFinished(() => notifier.close())
  const heard = new EventEmitter<{ wake: [] }>()
  notifier.watch('deaf', () => heard.emit('wake'))
  await once(heard, 'wake')
  const listens = once(heard, 'wake')
  await connection.execute({ sql: 'UNLISTEN *', parameters: [] } as unknown as CompiledQuery)
  while (notifier.channels.length > 0) await getLease(notifier.lookingBy(connection), 'deaf')
  await listens
  const told = once(heard, 'wake')
  const session = await database.connect()
  await session.query("SELECT elect.acquire_lease('deaf', 'somebody')")
  await told
})
