import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Lease, LeaseLostError, PgElectError } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

interface Tables {
  written: { id: number }
}

/** What runs SQL text inside the work, whatever the handle is. */
type Run = (text: string) => Promise<unknown>
type Handle = (work: (run: Run) => Promise<unknown>, timeoutMs?: number) => Promise<unknown>

let database: TestDatabase
let pool: pg.Pool
let kyselyPool: pg.Pool
let kysely: Kysely<Tables>
let session: pg.Client
let lease: Lease
/** Every statement that Kysely sends. */
const logged: string[] = []
let count = 0

beforeAll(async () => {
  database = await createTestDatabase()
  pool = new pg.Pool({ connectionString: database.connectionString, max: 3 })
  pool.on('error', () => undefined)
  kyselyPool = new pg.Pool({ connectionString: database.connectionString, max: 3 })
  // Kysely does not listen to the connections that it borrows: whoever hands it a pool has to.
  kyselyPool.on('connect', (client) => client.on('error', () => undefined))
  kysely = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: kyselyPool }),
    log: ({ query }) => void logged.push(query.sql),
  })
  session = await database.connect()
  await session.query('CREATE TABLE written (id integer)')
})
afterAll(async () => {
  await pool.end()
  await kyselyPool.end()
  await database.drop()
})
beforeEach(async () => {
  count += 1
  lease = await openClient(database, { ttlMs: 60_000 }).client.acquire(`handle-${count}`)
  await session.query('TRUNCATE written')
})

const written = async () => (await session.query('SELECT id FROM written')).rows.map(({ id }) => id)
const timed = (timeoutMs?: number) => (timeoutMs === undefined ? {} : { timeoutMs })

const handles: [what: string, handle: Handle][] = [
  [
    'a Pool',
    (work, ms) => lease.transaction(pool, (client) => work((text) => client.query(text)), timed(ms)),
  ],
  [
    'a PoolClient',
    async (work, ms) => {
      const client = await pool.connect()
      client.on('error', () => undefined)
      try {
        return await lease.transaction(client, (one) => work((text) => one.query(text)), timed(ms))
      } finally {
        client.release(true)
      }
    },
  ],
  [
    'a Client',
    async (work, ms) => {
      const client = await database.connect()
      return lease.transaction(client, (one) => work((text) => one.query(text)), timed(ms))
    },
  ],
  [
    'Kysely',
    (work, ms) => lease.transaction(kysely, (trx) => work((text) => sql.raw(text).execute(trx)), timed(ms)),
  ],
]

describe.each(handles)('through %s', (_what, handle) => {
  test('returns what the work returned, once it is committed', async () => {
    const result = await handle(async (run) => {
      await run('INSERT INTO written VALUES (1)')
      expect(await written()).toEqual([])
      return { some: 'thing' }
    })
    expect(result).toEqual({ some: 'thing' })
    expect(await written()).toEqual([1])
  })

  test('passes an error of the work, and one of the server about it, on as it is, and rolls back', async () => {
    const mine = new RangeError('mine')
    const throwing = handle(async (run) => {
      await run('INSERT INTO written VALUES (1)')
      throw mine
    })
    await expect(throwing).rejects.toBe(mine)
    const failing = handle((run) => run('SELECT 1/0'))
    await expect(failing).rejects.toMatchObject({ code: '22012' })
    await expect(failing).rejects.not.toBeInstanceOf(PgElectError)
    expect(await written()).toEqual([])
    expect(lease.isHeld).toBe(true)
  })

  test('passes a conflict of the work with others on as it is: it is no loss of the lease', async () => {
    const conflict = handle((run) =>
      run(`DO $$ BEGIN RAISE EXCEPTION 'of my own rows' USING ERRCODE = '40001'; END $$`),
    )
    await expect(conflict).rejects.toMatchObject({ code: '40001' })
    expect(lease.isHeld).toBe(true)
  })

  test('whose connection is lost inside, fails and leaves nothing; the lease is still held', async () => {
    const torn = handle(async (run) => {
      await run('INSERT INTO written VALUES (1)')
      const guards = 'SELECT pg_terminate_backend(pid) AS ended FROM elect.get_guards($1)'
      expect((await session.query(guards, [lease.name])).rows).toEqual([{ ended: true }])
      await run('INSERT INTO written VALUES (2)')
    })
    await expect(torn).rejects.toThrow()
    await expect(torn).rejects.not.toBeInstanceOf(LeaseLostError)
    expect(await written()).toEqual([])
    expect(lease.isHeld).toBe(true)
    expect(await handle(async () => 'works again')).toBe('works again')
  })

  test('bounds the transaction as asked, a minute by default', async () => {
    const bound = (ms?: number) =>
      handle(async (run) => {
        const { rows } = (await run(
          `SELECT current_setting('idle_in_transaction_session_timeout') AS bound`,
        )) as {
          rows: { bound: string }[]
        }
        return rows[0]?.bound
      }, ms)
    expect(await bound()).toBe('1min')
    expect(await bound(2_500)).toBe('2500ms')
  })

  test('of a name that needs quotes, too', async () => {
    const { client } = openClient(database, { ttlMs: 60_000 })
    count += 1
    lease = await client.acquire(`o'dd \\ "name"; -- $1 ä ${count}`)
    await handle((run) => run('INSERT INTO written VALUES (1)'))
    expect(await written()).toEqual([1])
  })

  test('is not committed by one who lost the lease before it began', async () => {
    await session.query(`SELECT elect.force_release($1, 'a test')`, [lease.name])
    let worked = false
    const stale = handle(async () => {
      worked = true
    })
    await expect(stale).rejects.toMatchObject({ code: 'PG_ELECT_LEASE_LOST', leaseName: lease.name })
    expect(worked).toBe(false)
    expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
  })
})

describe('a connection of a pool', () => {
  const counts = () => ({ total: pool.totalCount, idle: pool.idleCount })

  test('is given back after a commit, after an error and after a refusal', async () => {
    await lease.transaction(pool, () => 1)
    const before = counts()
    expect(before.idle).toBe(before.total)
    await expect(lease.transaction(pool, (client) => client.query('SELECT 1/0'))).rejects.toThrow()
    await session.query(`SELECT elect.force_release($1, 'a test')`, [lease.name])
    await expect(lease.transaction(pool, () => 1)).rejects.toThrow(LeaseLostError)
    expect(counts()).toEqual(before)
    expect((await pool.query('SELECT now() = statement_timestamp() AS is_outside')).rows).toEqual([
      { is_outside: true },
    ])
  })

  test('is destroyed when it is broken', async () => {
    const own = new pg.Pool({ connectionString: database.connectionString, max: 1 })
    own.on('error', () => undefined)
    onTestFinished(() => own.end())
    const broken = lease.transaction(own, async (client) => {
      await session.query('SELECT pg_terminate_backend(pid) FROM elect.get_guards($1)', [lease.name])
      await client.query('SELECT 1')
    })
    await expect(broken).rejects.toThrow()
    expect(own.totalCount).toBe(0)
    expect(await lease.transaction(own, () => 'a new one')).toBe('a new one')
  })

  test('whose session ends in the very moment in which it is lent takes nothing else down with it', async () => {
    const own = new pg.Pool({ connectionString: database.connectionString, max: 1 })
    own.on('error', () => undefined)
    onTestFinished(() => own.end())
    // What the server sends last can be read together with its answer before: the pool has just ceased to listen.
    const connect = own.connect.bind(own)
    own.connect = ((callback: (...lent: unknown[]) => void) =>
      connect((error, client, release) => {
        callback(error, client, release)
        client?.emit('error', new Error('terminating connection'))
      })) as typeof own.connect
    expect(await lease.transaction(own, () => 'gone through')).toBe('gone through')
    expect(own.totalCount).toBe(0)
  })

  test('of another make is asked to destroy it, too, and else to keep it', async () => {
    const released: unknown[] = []
    let isBroken = false
    const query = async (text: string) => {
      if (isBroken) throw new Error('gone')
      return session.query(text)
    }
    const release = (destroy?: boolean) => void released.push(destroy ?? false)
    const lookalike = { totalCount: 1, connect: async () => ({ query, release }) }
    expect(await lease.transaction(lookalike, () => 1)).toBe(1)
    const broken = lease.transaction(lookalike, (client) => {
      isBroken = true
      return client.query('SELECT 1')
    })
    await expect(broken).rejects.toThrow('gone')
    expect(released).toEqual([false, true])
    await session.query('ROLLBACK')
  })

  test('is never lent if the lease is known to be lost, or an argument is bad', async () => {
    let lent = 0
    const lend = () => {
      lent += 1
      return pool.connect()
    }
    const counting = { query: pool.query.bind(pool), totalCount: 0, connect: lend }
    await expect(lease.transaction(counting as never, () => 1, { timeoutMs: 0 })).rejects.toThrow('timeoutMs')
    await lease.release()
    await expect(lease.transaction(counting as never, () => 1)).rejects.toThrow(LeaseLostError)
    expect(lent).toBe(0)
  })
})

test('Kysely sends one statement more than without a guard', async () => {
  logged.length = 0
  await lease.transaction(kysely, (trx) => trx.insertInto('written').values({ id: 1 }).execute())
  expect(logged).toEqual([
    'begin',
    expect.stringContaining('elect.assert_lease'),
    expect.stringContaining('insert into'),
    'commit',
  ])
})
