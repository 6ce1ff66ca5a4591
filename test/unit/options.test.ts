import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { InvalidArgumentError } from '../../src/errors.ts'
import { type PgElectOptions, resolveLeaseOptions, resolveOptions } from '../../src/options.ts'
import { resolveTiming } from '../../src/timing.ts'
import { RecordingLog } from './support/recording-log.ts'
import { StubClock } from './support/stub-clock.ts'

function thrownBy(call: () => unknown): unknown {
  try {
    call()
  } catch (error) {
    return error
  }
  return undefined
}

describe('options of a client', () => {
  test('have defaults', () => {
    const { logger, ...options } = resolveOptions({})
    expect(options).toEqual({
      connection: {},
      listenConnection: undefined,
      pollIntervalMs: 1000,
      holder: undefined,
      session: false,
      drainTimeoutMs: 10_000,
      clock: systemClock,
      random: Math.random,
      timing: resolveTiming({}),
    })
    expect(logger).toMatchObject({ level: 'warn' })
  })

  test('are taken as they are', () => {
    const given = {
      connection: { host: 'db.example', port: 6432 },
      connectionString: 'postgres://app@other.example/app',
      listenConnection: { host: 'direct.example' },
      listenConnectionString: 'postgres://app@direct.example/app',
      pollIntervalMs: 250,
      holder: 'worker-7',
      session: true,
      drainTimeoutMs: 0,
      logger: new RecordingLog().logger,
      clock: new StubClock(),
      random: () => 0,
      ttlMs: 600,
      renewIntervalMs: 100,
    }
    const { connection, timing, ...others } = resolveOptions(given)
    expect(connection).toEqual({
      host: 'db.example',
      port: 6432,
      connectionString: 'postgres://app@other.example/app',
    })
    expect(timing).toEqual(resolveTiming({ ttlMs: 600, renewIntervalMs: 100 }))
    const { holder, session, drainTimeoutMs, pollIntervalMs, logger, clock, random } = given
    const listenConnection = {
      host: 'direct.example',
      connectionString: 'postgres://app@direct.example/app',
    }
    expect(others).toEqual({
      listenConnection,
      holder,
      session,
      drainTimeoutMs,
      pollIntervalMs,
      logger,
      clock,
      random,
    })
  })

  const refused: [options: unknown, message: RegExp][] = [
    [{ ttl: 5 }, /^Unknown option "ttl" in the options of PgElect: expected one of connectionString, /],
    [{ metadata: {} }, /^Unknown option "metadata"/],
    [null, /^Invalid options of PgElect: expected an object, got null$/],
    ['postgres://localhost', /expected an object, got string$/],
    [{ connectionString: 5 }, /^Invalid connectionString: expected text, got number$/],
    [{ connection: 'postgres://localhost' }, /^Invalid connection: .* got string$/],
    [{ connection: null }, /^Invalid connection: /],
    [{ listenConnectionString: {} }, /^Invalid listenConnectionString: expected text, got object$/],
    [{ listenConnection: 'postgres://localhost' }, /^Invalid listenConnection: .* got string$/],
    [{ listenConnection: null }, /^Invalid listenConnection: /],
    [{ pollIntervalMs: 99 }, /^Invalid pollIntervalMs: expected milliseconds from 100 to 86400000, got 99$/],
    [{ pollIntervalMs: '1s' }, /^Invalid pollIntervalMs: .* got string$/],
    [{ holder: '' }, /^Invalid holder: expected text of 1 to 491 bytes, got 0 bytes$/],
    [{ holder: 'x'.repeat(492) }, /^Invalid holder: .* got 492 bytes$/],
    [{ holder: 'a\0' }, /^Invalid holder: .* got NUL at 1$/],
    [{ holder: '\ud800' }, /^Invalid holder: .* got a lone surrogate$/],
    [{ holder: 7 }, /^Invalid holder: .* got number$/],
    [{ session: 'yes' }, /^Invalid session: expected true or false, got string$/],
    [
      { session: true, heartbeat: 'worker' },
      /^Invalid session: expected it beside heartbeat: 'main' only, got heartbeat: 'worker'/,
    ],
    [{ drainTimeoutMs: -1 }, /^Invalid drainTimeoutMs: expected milliseconds from 0 to 86400000, got -1$/],
    [{ drainTimeoutMs: Number.NaN }, /^Invalid drainTimeoutMs: .* got NaN$/],
    [{ drainTimeoutMs: Number.POSITIVE_INFINITY }, /^Invalid drainTimeoutMs: .* got Infinity$/],
    [{ drainTimeoutMs: '5' }, /^Invalid drainTimeoutMs: .* got string$/],
    [{ logger: {} }, /^Invalid logger.debug: expected a function, got undefined$/],
    [{ logger: { ...new RecordingLog().logger, error: 'no' } }, /^Invalid logger.error: .* got string$/],
    [{ ttlMs: 99 }, /^Invalid ttlMs/],
    [{ ttlMs: 1000, renewIntervalMs: 950 }, /^Invalid renewIntervalMs/],
  ]

  test.each(refused)('%o are refused, with what was expected and what came', (options, message) => {
    const error = thrownBy(() => resolveOptions(options as PgElectOptions))
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error).toMatchObject({
      code: 'PG_ELECT_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    })
  })
})

// Each of these passes, or ends in a TypeError, now or when it is first used.
test.each([[{ logger: null }], [{ random: 5 }], [{ clock: {} }]])(
  '%o is refused as a bad argument',
  (options) => {
    expect(() => resolveOptions(options as never)).toThrow(InvalidArgumentError)
  },
)

describe('options of a lease', () => {
  const client = resolveTiming({ ttlMs: 9000, renewIntervalMs: 1000, safetyMarginMs: 100 })

  test('are those of the client where they are left out', () => {
    expect(resolveLeaseOptions({}, client)).toEqual({ timing: client, metadata: undefined })
    const { timing } = resolveLeaseOptions({ retryIntervalMs: 77 }, client)
    expect(timing).toEqual({ ...client, retryIntervalMs: 77 })
  })

  test('derive the other durations anew from a TTL of their own', () => {
    const { timing } = resolveLeaseOptions({ ttlMs: 300, queryTimeoutMs: 9 }, client)
    expect(timing).toEqual(resolveTiming({ ttlMs: 300, queryTimeoutMs: 9 }))
  })

  test('carry metadata, and whatever else their caller knows', () => {
    const options = { metadata: { url: 'http://10.0.0.7' }, signal: 1 }
    expect(resolveLeaseOptions(options, client, ['signal']).metadata).toEqual({ url: 'http://10.0.0.7' })
    expect(() => resolveLeaseOptions(options, client)).toThrow(
      /^Unknown option "signal" in the options of a lease/,
    )
  })

  test("are refused where they do not fit the client's", () => {
    expect(() => resolveLeaseOptions({ renewIntervalMs: 8950 }, client)).toThrow(InvalidArgumentError)
    expect(() => resolveLeaseOptions({ metadata: null as never }, client)).toThrow(InvalidArgumentError)
    expect(() => resolveLeaseOptions(null as never, client)).toThrow(InvalidArgumentError)
  })
})
