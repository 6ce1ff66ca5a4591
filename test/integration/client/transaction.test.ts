import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  InvalidArgumentError,
  type IsolationLevel,
  type Lease,
  LeaseLostError,
  OperationFailedError,
  RolledBackError,
} from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

interface Tables {
  written: { byWhom: string }
}

let database: TestDatabase
let pool: pg.Pool
let kysely: Kysely<Tables>
let session: pg.Client
let lease: Lease

beforeAll(async () => {
  database = await createTestDatabase()
  pool = new pg.Pool({ connectionString: database.connectionString, max: 4 })
  pool.on('error', () => undefined)
  kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
  session = await database.connect()
  await session.query('CREATE TABLE written (by_whom text)')
})
afterAll(async () => {
  await pool.end()
  await database.drop()
})

let count = 0
beforeEach(async () => {
  const { client } = openClient(database, { ttlMs: 60_000 })
  count += 1
  lease = await client.acquire(`lease-${count}`)
  await session.query('TRUNCATE written')
})

const written = async () =>
  (await session.query('SELECT by_whom FROM written')).rows.map((row) => row.by_whom)
const insert = "INSERT INTO written VALUES ('ada')"

/** The same guarded write through each kind of database handle. */
const ways: [what: string, write: (isolationLevel?: IsolationLevel) => Promise<unknown>][] = [
  ['a pool', (level) => lease.transaction(pool, (client) => client.query(insert), options(level))],
  [
    'Kysely',
    (level) =>
      lease.transaction(
        kysely,
        (trx) => trx.insertInto('written').values({ byWhom: 'ada' }).execute(),
        options(level),
      ),
  ],
  ['a connection', (level) => lease.transaction(session, (client) => client.query(insert), options(level))],
  [
    'anything that queries',
    (level) => {
      const bare = { query: (text: string, values?: unknown[]) => session.query(text, values) }
      return lease.transaction(bare, (one) => one.query(insert), options(level))
    },
  ],
]
const options = (level: IsolationLevel | undefined) => (level === undefined ? {} : { isolationLevel: level })
const levels: IsolationLevel[] = ['read committed', 'repeatable read', 'serializable']

describe.each(ways)('a guarded transaction through %s', (_what, write) => {
  test.each([undefined, ...levels])('commits while the lease is held, at level %s', async (level) => {
    await write(level)
    expect(await written()).toEqual(['ada'])
  })

  test.each(levels)(
    'of a stale leader leaves nothing behind, and ends its leadership, at %s',
    async (level) => {
      await session.query('SELECT elect.transfer_lease($1, $2, $3)', [lease.name, lease.token, 'bob'])
      expect(lease.isHeld).toBe(true)
      await expect(write(level)).rejects.toThrow(LeaseLostError)
      expect(await written()).toEqual([])
      expect(lease.isHeld).toBe(false)
      expect(lease.signal.reason).toBeInstanceOf(LeaseLostError)
    },
  )
})

describe('a guarded transaction', () => {
  test('passes the errors of its work on as they are, and rolls back', async () => {
    const mine = new TypeError('mine')
    const failing = lease.transaction(pool, async (client) => {
      await client.query(insert)
      throw mine
    })
    await expect(failing).rejects.toBe(mine)
    await expect(lease.transaction(session, (one) => one.query('SELECT 1/0'))).rejects.toMatchObject({
      code: '22012',
    })
    expect(await written()).toEqual([])
    expect(lease.isHeld).toBe(true)
    expect(pool.idleCount).toBe(pool.totalCount)
  })

  test('does not pass off as committed what the server rolled back', async () => {
    const swallowing = lease.transaction(pool, async (client) => {
      await client.query(insert)
      await client.query('SELECT 1/0').catch(() => undefined)
    })
    await expect(swallowing).rejects.toThrow(RolledBackError)
    expect(await written()).toEqual([])
  })

  test('gives a broken connection up instead of back', async () => {
    const broken = lease.transaction(pool, async (client) => {
      const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
      await session.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
      await client.query(insert)
    })
    await expect(broken).rejects.toThrow()
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    expect(lease.isHeld).toBe(true)
  })

  test('that outlasts its bound is ended by the server, and does not take the process with it', async () => {
    const hanging = lease.transaction(
      pool,
      async (client) => {
        const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
        const isThere = 'SELECT FROM pg_stat_activity WHERE pid = $1'
        while ((await session.query(isThere, [rows[0].pid])).rowCount === 1);
        await client.query(insert)
      },
      { timeoutMs: 200 },
    )
    await expect(hanging).rejects.toThrow()
    expect(await written()).toEqual([])
  })

  test('costs no statement more than a plain one', async () => {
    const sent: string[] = []
    const counting = {
      query: (text: string, values?: unknown[]) => {
        sent.push(text.split(' ')[0] ?? '')
        return session.query(text, values)
      },
    }
    await lease.transaction(counting, (one) => one.query(insert))
    expect(sent).toEqual(['BEGIN;', 'INSERT', 'COMMIT'])
  })

  test('is not begun by one who does not hold the lease any more', async () => {
    await lease.release()
    await expect(lease.transaction(pool, () => 1)).rejects.toThrow(LeaseLostError)
  })

  test.each([
    ['no database', () => lease.transaction(5 as never, () => 1)],
    ['no work', () => lease.transaction(pool, 5 as never)],
    ['a time limit below 100 ms', () => lease.transaction(pool, () => 1, { timeoutMs: 5 })],
    ['a pool for a transaction', () => lease.guard(pool as never)],
  ])('with %s is a bad argument', async (_what, call) => {
    await expect(call()).rejects.toThrow(InvalidArgumentError)
  })
})

describe('guard', () => {
  test('holds in a transaction of the user: pg or Kysely', async () => {
    await session.query('BEGIN')
    await lease.guard(session)
    await session.query(insert)
    const other = await database.connect()
    const guards = 'SELECT count(*)::int AS guards FROM elect.get_guards($1)'
    expect((await other.query(guards, [lease.name])).rows).toEqual([{ guards: 1 }])
    await session.query('COMMIT')
    await kysely.transaction().execute(async (trx) => {
      await lease.guard(trx)
      await trx.insertInto('written').values({ byWhom: 'kysely' }).execute()
    })
    expect(await written()).toEqual(['ada', 'kysely'])
  })

  test('fails the transaction of a stale leader', async () => {
    await session.query('SELECT elect.force_release($1, $2)', [lease.name, 'a test'])
    await session.query('BEGIN')
    onTestFinished(async () => {
      await session.query('ROLLBACK')
    })
    await expect(lease.guard(session)).rejects.toThrow(LeaseLostError)
  })
})

describe('once', () => {
  test('inside the database commits with its record, and returns the stored result from then on', async () => {
    const pay = (what: string) =>
      lease.once('inside', pool, async (client, { attempt }) => {
        await client.query('INSERT INTO written VALUES ($1)', [what])
        return { what, attempt }
      })
    expect(await pay('first')).toEqual({ what: 'first', attempt: 1 })
    expect(await pay('second')).toEqual({ what: 'first', attempt: 1 })
    expect(await written()).toEqual(['first'])
  })

  test('inside Kysely, under a plugin that renames columns, does the same', async () => {
    const pay = () =>
      lease.once('kysely', kysely, async (trx, { idempotencyKey }) => {
        await trx.insertInto('written').values({ byWhom: idempotencyKey }).execute()
        return idempotencyKey
      })
    const key = await pay()
    expect(await pay()).toBe(key)
    expect(await written()).toEqual([key])
  })

  test('records what the work threw, and tries again under the same key unless told not to', async () => {
    const keys: string[] = []
    const attempt = (outcome: () => string) =>
      lease.once('outside', ({ idempotencyKey }) => {
        keys.push(idempotencyKey)
        return outcome()
      })
    const declined = () => {
      throw new Error('declined')
    }
    await expect(attempt(declined)).rejects.toThrow('declined')
    const refused = lease.once('outside', () => 'never', { retryFailed: false })
    await expect(refused).rejects.toThrow(OperationFailedError)
    await expect(refused).rejects.toMatchObject({ recorded: { message: 'declined' } })
    expect(await attempt(() => 'paid')).toBe('paid')
    expect(await attempt(declined)).toBe('paid')
    expect(keys).toHaveLength(2)
    expect(new Set(keys).size).toBe(1)
  })

  test('inside the database, leaves nothing of work that failed but the record that it did', async () => {
    const failing = lease.once('fails', pool, async (client) => {
      await client.query(insert)
      throw new Error('no funds')
    })
    await expect(failing).rejects.toThrow('no funds')
    expect(await written()).toEqual([])
    const again = lease.once('fails', pool, () => 1, { retryFailed: false })
    await expect(again).rejects.toMatchObject({ recorded: { message: 'no funds' } })
  })

  test('twice at once in one process is one operation', async () => {
    let calls = 0
    const call = () => lease.once('at-once', async () => ++calls)
    expect(await Promise.all([call(), call(), call()])).toEqual([1, 1, 1])
  })

  test('of a stale leader is refused before and after its call, and stays begun for the next', async () => {
    const stale = lease.once('stale', async () => {
      await session.query('SELECT elect.force_release($1, $2)', [lease.name, 'a test'])
      return 'called'
    })
    await expect(stale).rejects.toThrow(LeaseLostError)
    await expect(lease.once('stale', () => 'again')).rejects.toThrow(LeaseLostError)
    const { client } = openClient(database)
    const next = await client.acquire(lease.name)
    expect(await next.once('stale', ({ attempt }) => `attempt ${attempt}`)).toBe('attempt 2')
  })

  test('of a key that is none is a bad argument', async () => {
    await expect(lease.once('', () => 1)).rejects.toThrow(InvalidArgumentError)
    await expect(lease.once('x'.repeat(501), () => 1)).rejects.toThrow(InvalidArgumentError)
    await expect(lease.once('x', 5 as never)).rejects.toThrow(InvalidArgumentError)
  })
})
