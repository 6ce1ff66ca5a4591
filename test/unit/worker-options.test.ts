import { PassThrough } from 'node:stream'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { InvalidArgumentError } from '../../src/errors.ts'
import { type PgElectOptions, resolveOptions } from '../../src/options.ts'
import { StubClock } from './support/stub-clock.ts'

function thrownBy(options: object): unknown {
  try {
    resolveOptions(options as PgElectOptions)
  } catch (error) {
    return error
  }
  return undefined
}

describe('the place of the heartbeat', () => {
  test('is the main loop unless told otherwise', () => {
    expect(resolveOptions({}).worker).toBeUndefined()
    expect(resolveOptions({ heartbeat: 'main' }).worker).toBeUndefined()
  })

  test.each([
    [{}, 60_000],
    [{ ttlMs: 2_000 }, 8_000],
    [{ ttlMs: 86_400_000 }, 86_400_000],
    [{ ttlMs: 2_000, hangTimeoutMs: 2_000 }, 2_000],
    [{ hangTimeoutMs: 86_400_000 }, 86_400_000],
  ])(
    'is a thread that gives up a main loop that was silent for four TTLs, or as %o says',
    (options, expected) => {
      expect(resolveOptions({ heartbeat: 'worker', ...options }).worker?.hangTimeoutMs).toBe(expected)
    },
  )

  const refused: [options: object, message: RegExp][] = [
    [{ heartbeat: 'thread' }, /^Invalid heartbeat: expected one of main, worker, got "thread"$/],
    [{ heartbeat: null }, /^Invalid heartbeat: expected one of main, worker, got null$/],
    [{ hangTimeoutMs: 60_000 }, /^Invalid hangTimeoutMs: expected it beside heartbeat: 'worker' only$/],
    [
      { heartbeat: 'worker', hangTimeoutMs: 14_999 },
      /^Invalid hangTimeoutMs: expected milliseconds from ttlMs \(15000\) to 86400000, got 14999$/,
    ],
    [{ heartbeat: 'worker', hangTimeoutMs: 86_400_001 }, /^Invalid hangTimeoutMs: .* got 86400001$/],
    [{ heartbeat: 'worker', hangTimeoutMs: Number.NaN }, /^Invalid hangTimeoutMs: .* got NaN$/],
    [{ heartbeat: 'worker', hangTimeoutMs: '60' }, /^Invalid hangTimeoutMs: .* got string$/],
    [{ heartbeat: 'worker', clock: new StubClock() }, /^Invalid clock: expected none beside heartbeat/],
    [{ heartbeat: 'worker', random: () => 0 }, /^Invalid random: expected none beside heartbeat/],
  ]
  test.each(refused)('%o is refused, with what was expected and what came', (options, message) => {
    const error = thrownBy(options)
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect((error as Error).message).toMatch(message)
  })
})

describe('a connection that a thread is to make', () => {
  const passed = (connection: object) =>
    resolveOptions({ heartbeat: 'worker', connection: connection as pg.ClientConfig }).worker?.connection

  test('is passed as it is', () => {
    const connection = {
      host: 'db.example',
      port: 5432,
      password: 'secret',
      database: undefined,
      ssl: { rejectUnauthorized: true, ca: [Buffer.from('a certificate')], key: 'a key' },
    }
    expect(passed(connection)).toEqual(connection)
    expect(structuredClone(passed(connection))).toBeDefined()
  })

  test('is passed with the key and the password that a pool and a client hide in their options', () => {
    const ssl = { key: 'a key', cert: 'a certificate' }
    const pool = new pg.Pool({ host: 'db.example', password: 'secret', ssl })
    new pg.Client({ host: 'db.example', password: 'secret', ssl })
    expect(structuredClone({ ...pool.options })).not.toHaveProperty('password')
    expect(structuredClone(passed(pool.options))).toMatchObject({ password: 'secret', ssl })
  })

  test('is not disturbed by how an application reads its types, which this package does not use', () => {
    expect(passed({ host: 'a', types: { getTypeParser: () => String } })).toEqual({ host: 'a' })
  })

  const nested: Record<string, unknown> = {}
  nested.itself = nested
  const refused: [what: string, connection: object, message: RegExp][] = [
    [
      'a password that is asked for',
      { password: async () => 'secret' },
      /^Invalid connection\.password: .* got a function$/,
    ],
    ['a stream', { stream: () => new PassThrough() }, /^Invalid connection\.stream: .* got a function$/],
    [
      'an open stream',
      { stream: new PassThrough() },
      /^Invalid connection\.stream: .* got an object of a class$/,
    ],
    [
      'a check of the server',
      { ssl: { checkServerIdentity: () => undefined } },
      /^Invalid connection\.ssl\.checkServerIdentity: expected plain data beside heartbeat: 'worker', as it is passed to a thread, got a function$/,
    ],
    [
      'a list with one',
      { ssl: { ca: ['a', () => 'b'] } },
      /^Invalid connection\.ssl\.ca\[1\]: .* got a function$/,
    ],
    ['a symbol', { user: Symbol('me') }, /^Invalid connection\.user: .* got a symbol$/],
    ['what contains itself', { ssl: nested }, /^Invalid connection\.ssl\.itself.*: .* nested too deeply$/],
  ]
  test.each(refused)('is refused with %s, by name', (_what, connection, message) => {
    const error = thrownBy({ heartbeat: 'worker', connection })
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).not.toMatch(/secret/)
    expect(thrownBy({ connection })).toBeUndefined()
  })
})
