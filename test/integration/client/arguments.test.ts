import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  AccessDeniedError,
  InvalidArgumentError,
  PgElect,
  PgElectError,
  SchemaMissingError,
  ValueMissingError,
} from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

type Call = (client: PgElect) => unknown

const badCalls: [what: string, call: Call, message: RegExp][] = [
  ['an empty name', (c) => c.acquire(''), /^Invalid name: expected text of 1 to 200 bytes, got 0 bytes$/],
  [
    'a name too long, in bytes',
    (c) => c.acquire('ä'.repeat(101)),
    /expected text of 1 to 200 bytes, got 202 bytes$/,
  ],
  ['a NUL in a name', (c) => c.get('a\0b'), /without NUL, got NUL at 1$/],
  ['a name of another type', (c) => c.tryAcquire(7 as never), /expected text .*, got number$/],
  ['half a character', (c) => c.acquire('\ud800'), /got a lone surrogate$/],
  [
    'a negative ttl',
    (c) => c.acquire('x', { ttlMs: -1 }),
    /^Invalid ttlMs: expected milliseconds from 100 .*, got -1$/,
  ],
  ['an infinite ttl', (c) => c.election('x', { ttlMs: Number.POSITIVE_INFINITY }), /got Infinity$/],
  ['a ttl that is no number', (c) => c.acquire('x', { ttlMs: Number.NaN }), /got NaN$/],
  ['a ttl of months', (c) => c.acquire('x', { ttlMs: 31 * 86_400_000 }), /to 86400000, got 2678400000$/],
  [
    'a ttl below the beat',
    (c) => c.acquire('x', { ttlMs: 1000, renewIntervalMs: 950 }),
    /^Invalid renewIntervalMs/,
  ],
  [
    'an unknown option',
    (c) => c.acquire('x', { ttl: 5 } as never),
    /^Unknown option "ttl" in the options of a lease/,
  ],
  ['too much metadata', (c) => c.election('x', { metadata: { a: 'x'.repeat(4096) } }), /at most 4096 bytes/],
  ['metadata that is no object', (c) => c.election('x', { metadata: [1] as never }), /got an array$/],
  ['a NUL in metadata', (c) => c.acquire('x', { metadata: { a: '\0' } }), /without NUL/],
  [
    'work that is no function',
    (c) => c.withLease('x', 5 as never),
    /^Invalid work: expected a function, got number$/,
  ],
  [
    'a value too long',
    (c) => c.compareAndSwap('x', 'v'.repeat(501), null),
    /^Invalid next: .* got 501 bytes$/,
  ],
  ['a version that is none', (c) => c.compareAndSwapVersion('x', 'v', 1.5), /^Invalid version: .*, got 1.5$/],
  ['a ttl of a swap', (c) => c.compareAndSwap('x', 'v', null, { ttlMs: 5 }), /^Invalid ttlMs/],
]

describe('bad input', () => {
  test.each(badCalls)(
    '%s is refused by a typed error, and nothing is written',
    async (_what, call, message) => {
      const { client } = openClient(database)
      const error = await Promise.resolve()
        .then(() => call(client))
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
      expect(error).toBeInstanceOf(InvalidArgumentError)
      expect(error).toMatchObject({
        code: 'PG_ELECT_INVALID_ARGUMENT',
        message: expect.stringMatching(message),
      })
      const session = await database.connect()
      expect((await session.query('SELECT FROM elect.leases')).rowCount).toBe(0)
    },
  )

  test('what only the server can tell comes as a typed error, too', async () => {
    const { client } = openClient(database)
    await expect(client.compareAndSwap('k', 'a', 'b')).rejects.toThrow(ValueMissingError)
    await expect(client.compareAndSwap('k', 'a', 'b')).rejects.toThrow(
      'Expected value b for key k, but found empty',
    )
  })

  test('a database without the schema is told with what to do', async () => {
    await using empty = await createTestDatabase({ empty: true })
    const { client } = openClient(empty)
    await expect(client.acquire('x')).rejects.toThrow(SchemaMissingError)
    await expect(client.election('x').campaign()).rejects.toThrow(/install\(\)/)
  })

  test('no password is in an error, whatever is wrong with the connection', async () => {
    const url = new URL(database.connectionString)
    url.password = 'tell-nobody'
    url.username = 'nobody-of-that-name'
    const attempts: (() => unknown)[] = [
      () => new PgElect({ connectionString: 'postgres://me:tell-nobody@[not-a-host/x' }),
      async () => {
        await using client = new PgElect({ connectionString: url.href })
        await client.get('x')
      },
      async () => {
        await using client = new PgElect({
          connectionString: 'postgres://me:tell-nobody@127.0.0.1:1/x',
          ttlMs: 1000,
        })
        await client.get('x')
      },
    ]
    for (const attempt of attempts) {
      const error = await Promise.resolve()
        .then(attempt)
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
      expect(error).toBeInstanceOf(PgElectError)
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('tell-nobody')
    }
  })

  test('a role without rights is refused by a typed error', async () => {
    const session = await database.connect()
    const role = `outsider_${database.name}`
    await session.query(`CREATE ROLE ${role} LOGIN PASSWORD 'outside'`)
    const url = new URL(database.connectionString)
    url.username = role
    url.password = 'outside'
    const { client } = openClient(database, { connectionString: url.href })
    await expect(client.acquire('x')).rejects.toThrow(AccessDeniedError)
    await client.close()
    await session.query(`DROP ROLE ${role}`)
  })
})
