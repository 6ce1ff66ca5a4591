import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lease, PgElectOptions } from '../../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../../support/postgres/database.ts'
import { openClient, TTL_MS } from '../clients.ts'
import { type Compiled, compile, type Holder, startHolder } from './processes.ts'

let database: TestDatabase
let compiled: Compiled
beforeAll(async () => {
  ;[database, compiled] = await Promise.all([createTestDatabase(), compile()])
})
afterAll(async () => {
  await database.drop()
  await compiled[Symbol.asyncDispose]()
})

/** A holder in another process, and somebody here who waits in line for its lease. */
async function holderAndRival(
  lease: string,
  options: PgElectOptions,
): Promise<{ holder: Holder; token: number; rival: { granted: Lease | undefined; grant: Promise<Lease> } }> {
  const holder = startHolder(compiled, {
    lease,
    options: { connectionString: database.connectionString, ttlMs: TTL_MS, ...options } as PgElectOptions,
  })
  const { token } = await holder.reported('held')
  const { client, log } = openClient(database, { ttlMs: TTL_MS })
  const grant = client.acquire(lease)
  const rival: { granted: Lease | undefined; grant: Promise<Lease> } = { granted: undefined, grant }
  // A test that fails before ends the wait.
  grant.then(
    (granted) => {
      rival.granted = granted
    },
    () => undefined,
  )
  await log.candidateListens()
  return { holder, token, rival }
}

describe('an event loop that is blocked for three TTLs', () => {
  test("keeps its lease with heartbeat: 'worker': isHeld knows in the very next line, and nobody else was granted it", async () => {
    const { holder, token, rival } = await holderAndRival('kept', { heartbeat: 'worker' })
    holder.tell({ kind: 'block', forMs: 3 * TTL_MS })
    const after = await holder.reported('unblocked')
    expect(after).toMatchObject({ isHeld: true, isAborted: false })
    expect(after.remainingMs).toBeGreaterThan(0)
    expect(after.remainingMs).toBeLessThanOrEqual(TTL_MS - TTL_MS / 10)
    expect(rival.granted).toBeUndefined()
    const session = await database.connect()
    const { rows } = await session.query(`SELECT token::float8 FROM elect.get_lease('kept')`)
    expect(rows).toEqual([{ token }])

    holder.tell({ kind: 'look' })
    expect(await holder.reported('looked')).toMatchObject({ isHeld: true })
    expect(holder.complaints).not.toContain('lost a lease')
    // The rival did wait: it is handed the lease at once.
    holder.tell({ kind: 'close' })
    expect((await rival.grant).token).toBeGreaterThan(token)
  })

  test("loses its lease with heartbeat: 'main'", async () => {
    const { holder, token, rival } = await holderAndRival('not kept', {})
    holder.tell({ kind: 'block', forMs: 3 * TTL_MS })
    expect((await rival.grant).token).toBeGreaterThan(token)
    expect(await holder.reported('unblocked')).toMatchObject({ isHeld: false, isAborted: true })
  })
})

describe('an event loop that hangs for longer than hangTimeoutMs', () => {
  test('is succeeded while it hangs, and finds isHeld false in the very next line', async () => {
    const hangTimeoutMs = TTL_MS
    const { holder, token, rival } = await holderAndRival('hangs', { heartbeat: 'worker', hangTimeoutMs })
    const session = await database.connect()
    holder.tell({ kind: 'block', forMs: hangTimeoutMs + TTL_MS + 2_000 })
    await holder.reported('blocking')
    const { rows: began } = await session.query(`SELECT clock_timestamp() AS at`)

    expect((await rival.grant).token).toBeGreaterThan(token)
    expect(holder.reports.some(({ event }) => event === 'unblocked')).toBe(false)
    const { rows: granted } = await session.query(`SELECT acquired_at AS at FROM elect.get_lease('hangs')`)
    const waitedMs = Number(granted[0].at) - Number(began[0].at)
    // Kept on until the main loop had been silent for so long, and not for ever.
    expect(waitedMs).toBeGreaterThan(hangTimeoutMs)
    expect(waitedMs).toBeLessThan(hangTimeoutMs + TTL_MS + 1_000)

    expect(await holder.reported('unblocked')).toMatchObject({ isHeld: false, isAborted: true })
    const { reason } = await holder.reported('aborted')
    expect(reason).toMatch(/LeaseLostError: .*the event loop of this process did not answer for 2000 ms/)
  })

  test('loses also a lease that has much time left', async () => {
    const holder = startHolder(compiled, {
      lease: 'long',
      options: {
        connectionString: database.connectionString,
        ttlMs: 500,
        heartbeat: 'worker',
        hangTimeoutMs: 500,
      },
      leaseOptions: { ttlMs: 60_000 },
    })
    await holder.reported('held')
    holder.tell({ kind: 'block', forMs: 2_000 })
    const after = await holder.reported('unblocked')
    expect(after).toMatchObject({ isHeld: false, isAborted: true })
    expect(after.remainingMs).toBeGreaterThan(10_000)
  })
})

test('a lease that is taken away while the event loop is blocked is not held in the very next line', async () => {
  const holder = startHolder(compiled, {
    lease: 'taken',
    options: { connectionString: database.connectionString, ttlMs: 60_000, heartbeat: 'worker' },
    leaseOptions: { ttlMs: 60_000, renewIntervalMs: 200 },
  })
  await holder.reported('held')
  const session = await database.connect()
  holder.tell({ kind: 'block', forMs: 2_000 })
  await holder.reported('blocking')
  await session.query(`SELECT elect.force_release('taken', 'test')`)
  expect(await holder.reported('unblocked')).toMatchObject({ isHeld: false, isAborted: true })
  expect((await holder.reported('aborted')).reason).toMatch(/nobody holds it/)
})

test('a process that was stopped past its TTL, threads and all, does not hold its lease when it goes on', async () => {
  const { holder, token, rival } = await holderAndRival('stopped', {
    heartbeat: 'worker',
    hangTimeoutMs: 60_000,
  })
  holder.process.kill('SIGSTOP')
  expect((await rival.grant).token).toBeGreaterThan(token)
  // This question waits in the pipe: it is the first thing that the process does when it goes on.
  holder.tell({ kind: 'look' })
  holder.process.kill('SIGCONT')
  expect(await holder.reported('looked')).toEqual({ event: 'looked', isHeld: false })
})

describe('the thread of the heartbeat', () => {
  test('renews for many times hangTimeoutMs where the event loop turns', async () => {
    const options = { connectionString: database.connectionString, ttlMs: 2_000 }
    const holder = startHolder(compiled, {
      lease: 'turns',
      options: { ...options, heartbeat: 'worker', hangTimeoutMs: 2_000 },
      // Only a hang can cost it, not a machine that is busy for a while.
      leaseOptions: { ttlMs: 60_000, renewIntervalMs: 200 },
    })
    const { token } = await holder.reported('held')
    const session = await database.connect()
    const look = async () => {
      const { rows } = await session.query(
        `SELECT version::float8, token::float8 FROM elect.get_lease('turns')`,
      )
      return rows[0]
    }
    const { version } = await look()
    for (let now = await look(); now.version < version + 40; now = await look()) expect(now.token).toBe(token)
    holder.tell({ kind: 'look' })
    expect(await holder.reported('looked')).toMatchObject({ isHeld: true })
    expect(holder.complaints).not.toContain('lost a lease')
  })

  test('ends with close(), and its session with it', async () => {
    await using own = await createTestDatabase()
    const options = { connectionString: own.connectionString, heartbeat: 'worker' } as const
    const holder = startHolder(compiled, { lease: 'closes', options })
    await holder.reported('held')
    const session = await own.connect()
    const sessions = async () => {
      const { rows } = await session.query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg-elect'`,
      )
      return rows.length
    }
    // It connects ahead of its first beat.
    while ((await sessions()) < 2);
    holder.tell({ kind: 'close' })
    await holder.reported('closed')
    while ((await sessions()) > 0);
    const exited = once(holder.process, 'exit')
    holder.process.disconnect()
    expect(await exited).toEqual([0, null])
    expect(holder.complaints).toEqual([])
  })

  test('keeps no process alive that has nothing else to do', async () => {
    const options = JSON.stringify({ connectionString: database.connectionString, heartbeat: 'worker' })
    const script = join(compiled.source, 'idle.js')
    await writeFile(
      script,
      `import { PgElect } from './index.js'; new PgElect(${options}); console.log('made')`,
    )
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script], { timeout: 20_000 })
    expect({ stdout, stderr }).toEqual({ stdout: 'made\n', stderr: '' })
  })

  test('connects by the parts of a connection, too, and renews while nothing else can', async () => {
    const { hostname: host, port, username: user, password, pathname } = new URL(database.connectionString)
    const holder = startHolder(compiled, {
      lease: 'parts',
      options: {
        connection: { host, port: Number(port), user, password, database: pathname.slice(1) },
        ttlMs: 60_000,
        renewIntervalMs: 100,
        heartbeat: 'worker',
      },
    })
    await holder.reported('held')
    const session = await database.connect()
    const version = async () => {
      const { rows } = await session.query(`SELECT version::float8 FROM elect.get_lease('parts')`)
      return Number(rows[0].version)
    }
    holder.tell({ kind: 'block', forMs: 5_000 })
    await holder.reported('blocking')
    const first = await version()
    while ((await version()) < first + 5);
    expect(holder.reports.some(({ event }) => event === 'unblocked')).toBe(false)
  })
})

describe('a build', () => {
  test('without the code of the thread is refused as the client is made', async () => {
    await using other = await compile()
    await rm(join(other.source, 'worker-heartbeat/worker.js'))
    const options = { connectionString: database.connectionString, heartbeat: 'worker' } as const
    const holder = startHolder(other, { lease: 'incomplete', options })
    await expect(holder.reported('held')).rejects.toThrow(
      /InvalidArgumentError: Invalid heartbeat: 'worker' expected the code of the thread/,
    )
  })

  test('of which the thread fails renews in the main loop instead, and says so', async () => {
    await using other = await compile()
    await writeFile(join(other.source, 'worker-heartbeat/worker.js'), `throw new Error('cannot run')`)
    const options = {
      connectionString: database.connectionString,
      ttlMs: TTL_MS,
      heartbeat: 'worker',
    } as const
    const holder = startHolder(other, { lease: 'falls back', options })
    await holder.reported('held')
    await holder.reported('logged')
    const session = await database.connect()
    const version = async () => {
      const { rows } = await session.query(
        `SELECT version::float8, token::float8 FROM elect.get_lease('falls back')`,
      )
      return rows[0] as { version: number; token: number }
    }
    const { version: first, token } = await version()
    for (let now = first; now < first + 4; now = (await version()).version);
    expect((await version()).token).toBe(token)
    holder.tell({ kind: 'look' })
    expect(await holder.reported('looked')).toMatchObject({ isHeld: true })
    expect(holder.complaints).toEqual([
      'the thread of the heartbeat has failed: the main loop renews from now on',
    ])
    holder.tell({ kind: 'close' })
    await holder.reported('closed')
  })
})
