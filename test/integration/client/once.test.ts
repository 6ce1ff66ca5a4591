import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Lease, LeaseLostError, type Operation, OperationFailedError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { type Log, openClient } from './clients.ts'

let database: TestDatabase
let pool: pg.Pool
let session: pg.Client
let lease: Lease
let log: Log
let count = 0

beforeAll(async () => {
  database = await createTestDatabase()
  pool = new pg.Pool({ connectionString: database.connectionString, max: 4 })
  pool.on('error', () => undefined)
  session = await database.connect()
  await session.query('CREATE TABLE paid (what text)')
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})
beforeEach(async () => {
  count += 1
  const opened = openClient(database, { ttlMs: 60_000, retryIntervalMs: 20 })
  log = opened.log
  lease = await opened.client.acquire(`once-${count}`)
  await session.query('TRUNCATE paid')
})

const paid = async () => (await session.query('SELECT what FROM paid')).rows.map(({ what }) => what)

async function recorded(key: string) {
  const text =
    'SELECT state, attempt, result, error FROM elect.operations WHERE lease = $1 AND operation_key = $2'
  return (await session.query(text, [lease.name, key])).rows[0]
}

/** Ends the control connection of the client, as a restart of a proxy would. */
async function endControlConnection(): Promise<void> {
  const text = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pg-elect'`
  await session.query(text)
  await log.logged('lost a connection to the database')
}

/** The lease in the hands of the next leader, another client. */
async function nextLeader(): Promise<Lease> {
  await lease.release()
  return openClient(database, { ttlMs: 60_000 }).client.acquire(lease.name)
}

describe('the work of an operation', () => {
  test('is told its key, its attempt, the token and the signal of the lease', async () => {
    const told: Operation[] = []
    await lease.once('outside', (operation) => void told.push(operation))
    await lease.once('inside', pool, (_client, operation) => void told.push(operation))
    expect(told).toHaveLength(2)
    for (const { idempotencyKey, attempt, token, signal } of told) {
      expect(idempotencyKey).toMatch(/^[0-9a-f-]{36}$/)
      expect({ attempt, token }).toEqual({ attempt: 1, token: lease.token })
      expect(signal).toBe(lease.signal)
    }
    expect(told[0]?.idempotencyKey).not.toBe(told[1]?.idempotencyKey)
  })

  test('outside: is recorded as begun before it is called, and as done after', async () => {
    const seen = await lease.once('order', async () => (await recorded('order'))?.state)
    expect(seen).toBe('begun')
    expect(await recorded('order')).toEqual({ state: 'done', attempt: 1, result: 'begun', error: null })
  })

  test('inside: nobody sees its record before it commits with the work', async () => {
    const seen = await lease.once('together', pool, async (client) => {
      await client.query("INSERT INTO paid VALUES ('together')")
      return [await recorded('together'), await paid()]
    })
    expect(seen).toEqual([undefined, []])
    expect(await paid()).toEqual(['together'])
    expect((await recorded('together'))?.state).toBe('done')
  })

  test.each([['text'], [7], [0], [false], [null], [[1, [2]]], [{ deep: { er: 'ä\n"' } }]])(
    'returns %j, now and later, and to the next leader',
    async (result) => {
      expect(await lease.once('typed', () => result)).toEqual(result)
      expect(await lease.once('typed', () => 'never')).toEqual(result)
      const next = await nextLeader()
      expect(await next.once('typed', () => 'never')).toEqual(result)
      expect(await next.once('typed', pool, () => 'never')).toEqual(result)
    },
  )
})

describe('the control connection lost', () => {
  test('before an operation begins, or during its call, is no end of it: one call, one record', async () => {
    await endControlConnection()
    let calls = 0
    const result = await lease.once('torn', async () => {
      calls += 1
      await endControlConnection()
      return 'paid'
    })
    expect(result).toBe('paid')
    expect(calls).toBe(1)
    expect(await recorded('torn')).toMatchObject({ state: 'done', attempt: 1, result: 'paid' })
  })

  test('while work inside the database runs, does not disturb it', async () => {
    await lease.once('apart', pool, async (client) => {
      await endControlConnection()
      await client.query("INSERT INTO paid VALUES ('apart')")
    })
    expect(await paid()).toEqual(['apart'])
  })
})

describe('an operation that failed', () => {
  const declined = () => {
    throw new TypeError('declined')
  }

  test.each([
    ['outside', (options?: { retryFailed: boolean }) => lease.once('x', declined, options)],
    ['inside', (options?: { retryFailed: boolean }) => lease.once('x', pool, declined, options)],
  ])('%s is recorded with its error, and refused or tried again as asked', async (_where, attempt) => {
    await expect(attempt()).rejects.toThrow(TypeError)
    expect(await recorded('x')).toMatchObject({
      state: 'failed',
      error: { name: 'TypeError', message: 'declined' },
    })
    const refused = attempt({ retryFailed: false })
    await expect(refused).rejects.toThrow(OperationFailedError)
    await expect(refused).rejects.toMatchObject({ recorded: { name: 'TypeError', message: 'declined' } })
    await expect(attempt({ retryFailed: true })).rejects.toThrow(TypeError)
    expect(await recorded('x')).toMatchObject({ state: 'failed', attempt: 2 })
  })

  test('is refused to the next leader, too, or tried again under the same key', async () => {
    const keys: string[] = []
    const failing = lease.once('handed on', ({ idempotencyKey }) => {
      keys.push(idempotencyKey)
      declined()
    })
    await expect(failing).rejects.toThrow('declined')
    const next = await nextLeader()
    await expect(next.once('handed on', () => 1, { retryFailed: false })).rejects.toThrow(
      OperationFailedError,
    )
    expect(await next.once('handed on', ({ idempotencyKey }) => keys.push(idempotencyKey))).toBe(2)
    expect(new Set(keys).size).toBe(1)
  })
})

describe('the same operation twice at once', () => {
  test.each([
    ['outside', (work: () => Promise<string>) => lease.once('at once', work)],
    ['inside', (work: () => Promise<string>) => lease.once('at once', pool, work)],
  ])('%s, in one process, is one call, and its error is that of both', async (_where, attempt) => {
    let calls = 0
    const failing = async () => {
      calls += 1
      throw new RangeError('both')
    }
    const outcomes = await Promise.allSettled([attempt(failing), attempt(failing)])
    expect(outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.message)).toEqual([
      'both',
      'both',
    ])
    expect(calls).toBe(1)
    // What has settled is not kept in memory: the ledger answers.
    expect(await attempt(async () => 'paid')).toBe('paid')
    expect(await attempt(failing)).toBe('paid')
  })

  test('inside, on two leases of two names, is two operations', async () => {
    const other = await openClient(database).client.acquire(`${lease.name}-other`)
    const pay = (by: Lease) =>
      by.once('same', pool, (client) => client.query("INSERT INTO paid VALUES ('same')"))
    await Promise.all([pay(lease), pay(other)])
    expect(await paid()).toEqual(['same', 'same'])
  })
})

describe('a leader that is overtaken', () => {
  test.each(['before', 'during'])(
    '%s its work inside leaves nothing, and no record of a failure',
    async (moment) => {
      const overtake = () => session.query('SELECT elect.force_release($1, $2)', [lease.name, 'a test'])
      if (moment === 'before') await overtake()
      const stale = lease.once('overtaken', pool, async (client) => {
        await client.query("INSERT INTO paid VALUES ('stale')")
        // The guard keeps the lease for this transaction: whoever takes it has to end that first.
        await session.query('SELECT pg_terminate_backend(pid, 5000) FROM elect.get_guards($1)', [lease.name])
        await overtake()
        await client.query('SELECT 1')
      })
      await expect(stale).rejects.toThrow()
      expect(await paid()).toEqual([])
      const next = await openClient(database).client.acquire(lease.name)
      expect(await next.once('overtaken', pool, (_client, { attempt }) => attempt)).toBe(1)
    },
  )

  test('during its call outside gets LeaseLostError, not the result: the next repeats it with its key', async () => {
    const keys: string[] = []
    const stale = lease.once('called', async ({ idempotencyKey }) => {
      keys.push(idempotencyKey)
      await session.query('SELECT elect.force_release($1, $2)', [lease.name, 'a test'])
      return 'paid by a stale leader'
    })
    await expect(stale).rejects.toThrow(LeaseLostError)
    expect(await recorded('called')).toMatchObject({ state: 'begun' })
    const next = await openClient(database).client.acquire(lease.name)
    const repeated = await next.once('called', ({ idempotencyKey, attempt }) => {
      keys.push(idempotencyKey)
      return attempt
    })
    expect(repeated).toBe(2)
    expect(new Set(keys).size).toBe(1)
  })
})
