import { describe, expect, test } from 'vitest'
import type { PgElectOptions } from '../../../src/index.ts'
import { aborted } from '../client/clients.ts'
import { until } from '../client/primitives/support.ts'
import { LONG_TTL_MS, next, usePooler } from './support.ts'

/** So long that nothing is found by looking at intervals. */
const NEVER_MS = 86_400_000

const scene = usePooler(1)

const open = (options: PgElectOptions = {}) =>
  scene.open({
    ttlMs: LONG_TTL_MS,
    pollIntervalMs: NEVER_MS,
    listenConnectionString: listenUrl('ears'),
    ...options,
  })

/** Straight to the server, under a name that tells it from others. */
function listenUrl(name: string): string {
  const url = new URL(scene.database.connectionString)
  url.searchParams.set('application_name', name)
  return url.href
}

/** The sessions of that name. */
async function backends(name: string): Promise<number[]> {
  const { rows } = await scene.session.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()',
    [name],
  )
  return rows.map(({ pid }) => pid)
}

/** Which sessions are told of a hand-off of that lease. */
async function told(lease: string): Promise<number[]> {
  const { rows } = await scene.session.query<{ backend: number }>(
    'SELECT backend FROM elect.candidates WHERE lease = $1 ORDER BY arrival',
    [lease],
  )
  return rows.map(({ backend }) => backend)
}

/** Resolves once all candidates of the lease are told in the one session of that name. */
function whenTold(lease: string, name: string): Promise<void> {
  return until(async () => {
    const [ears] = await backends(name)
    const all = await told(lease)
    return ears !== undefined && all.length > 0 && all.every((backend) => backend === ears)
  })
}

describe('with a connection for LISTEN', () => {
  test('a follower hears of a release, and of who leads next', async () => {
    const { client, log } = open()
    const first = await scene.open().client.acquire('heard', { ttlMs: LONG_TTL_MS })
    const changes = client.election('heard').observe()
    expect((await next(changes)).leader?.token).toBe(first.token)
    await until(async () => (await channels('ears')).length > 0)
    await first.release()
    expect((await next(changes)).leader).toBeNull()
    const second = await scene.open().client.acquire('heard', { ttlMs: LONG_TTL_MS })
    expect((await next(changes)).leader?.token).toBe(second.token)
    expect(log.lines.filter(({ message }) => message.includes('pooler'))).toEqual([])
    await changes.return()
  })

  test('a candidate is told of a hand-off in the session that listens, and looks at nothing meanwhile', async () => {
    const lease = await scene.open().client.acquire('handed', { ttlMs: LONG_TTL_MS })
    const { client, log } = open({ listenConnectionString: listenUrl('handed') })
    const waiting = client.acquire('handed')
    await whenTold('handed', 'handed')
    // Those that come later say so when they ask.
    const behind = client.acquire('handed')
    await until(async () => (await told('handed')).length === 2)
    expect(await told('handed')).toEqual([...(await backends('handed')), ...(await backends('handed'))])
    const looks = log.lines.filter(({ message }) => message === 'waiting for a lease').length
    await lease.release()
    const second = await waiting
    expect(second.isHeld).toBe(true)
    await second.release()
    expect((await behind).isHeld).toBe(true)
    // One of the two may look once more at each hand-off; one that looks at intervals would not stop there.
    expect(
      log.lines.filter(({ message }) => message === 'waiting for a lease').length - looks,
    ).toBeLessThanOrEqual(2)
    expect(log.complaints).toEqual([])
  })

  test('a share is handed over in the same way', async () => {
    const permits = (options?: PgElectOptions) => open(options).client.semaphore('shares', { permits: 1 })
    const permit = await permits().acquire()
    const waiting = permits({ listenConnectionString: listenUrl('shares') }).acquire()
    await whenTold('shares', 'shares')
    await permit.release()
    expect((await waiting).isHeld).toBe(true)
  })

  test('a leader hears that it is asked to step down', async () => {
    const { client } = open({ listenConnectionString: listenUrl('leader') })
    const leadership = await client.election('asked').campaign()
    await until(async () => (await channels('leader')).length > 0)
    expect(await scene.open().client.requestStepDown('asked')).toBe(true)
    await aborted(leadership.signal)
  })

  test('a lost one is opened again by itself, and the candidates are told in the new one', async () => {
    const lease = await scene.open().client.acquire('lost', { ttlMs: LONG_TTL_MS })
    const { client, log } = open({ listenConnectionString: listenUrl('lost') })
    const waiting = client.acquire('lost')
    await whenTold('lost', 'lost')
    const [before] = await backends('lost')
    await scene.session.query('SELECT pg_terminate_backend($1)', [before])
    await log.logged('lost a connection to the database')
    await whenTold('lost', 'lost')
    expect(await backends('lost')).not.toContain(before)
    await lease.release()
    expect((await waiting).isHeld).toBe(true)
  })

  test('one that cannot be had is made up for by looking at intervals', async () => {
    const nowhere = new URL(scene.database.connectionString)
    nowhere.port = '1'
    const { client } = open({ listenConnectionString: nowhere.href, pollIntervalMs: 100 })
    const lease = await scene.open().client.acquire('unheard', { ttlMs: LONG_TTL_MS })
    const changes = client.election('unheard').observe()
    expect((await next(changes)).leader?.token).toBe(lease.token)
    const waiting = client.acquire('unheard')
    await until(async () => (await told('unheard')).length === 1)
    await lease.release()
    const { token } = await waiting
    expect((await next(changes)).leader?.token).toBe(token)
    await changes.return()
  })

  test('one that leads to a pooler, too, is not listened on: it says so, and looks at intervals', async () => {
    const { client, log } = open({
      listenConnectionString: scene.pooler.connectionString,
      pollIntervalMs: 100,
    })
    const lease = await scene.open().client.acquire('pooled', { ttlMs: LONG_TTL_MS })
    const changes = client.election('pooled').observe()
    await next(changes)
    await lease.release()
    expect((await next(changes)).leader).toBeNull()
    expect(log.complaints).toMatchObject([{ level: 'warn', message: /^listenConnectionString leads to/ }])
    const other = await scene.connect()
    expect((await other.query('SELECT pg_listening_channels()')).rows).toEqual([])
    await changes.return()
  })

  test('it ends with the client', async () => {
    const { client } = open({ listenConnectionString: listenUrl('ends') })
    const changes = client.election('ends').observe()
    await next(changes)
    await until(async () => (await backends('ends')).length === 1)
    await client.close()
    await until(async () => (await backends('ends')).length === 0)
    await changes.return()
  })
})

test('a connection for LISTEN may stand beside one that leads to the server, too', async () => {
  const { client } = open({
    connectionString: scene.database.connectionString,
    listenConnectionString: undefined,
    listenConnection: { connectionString: listenUrl('beside') },
  })
  const lease = await scene.open().client.acquire('beside', { ttlMs: LONG_TTL_MS })
  const waiting = client.acquire('beside')
  await whenTold('beside', 'beside')
  await lease.release()
  expect((await waiting).isHeld).toBe(true)
})

/** What was listened to in the session of that name, by its last statement. */
async function channels(name: string): Promise<string[]> {
  const { rows } = await scene.session.query<{ query: string }>(
    `SELECT query FROM pg_stat_activity WHERE application_name = $1 AND state = 'idle' AND query LIKE '%elect.listen%'`,
    [name],
  )
  return rows.map(({ query }) => query)
}
