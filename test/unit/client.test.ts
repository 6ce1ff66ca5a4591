import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { PgElect, PgElectError, type PgElectOptions } from '../../src/index.ts'
import { describeError } from '../../src/logger.ts'
import { RecordingLog } from './support/recording-log.ts'

const SECRET = 'hunter2'

function everythingOf(value: unknown): string {
  return inspect(value, { depth: 20, showHidden: true, getters: true, maxStringLength: null })
}

async function thrownBy(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return error
  }
  return undefined
}

describe('a password', () => {
  const malformed: [what: string, options: unknown][] = [
    ['no host', { connectionString: `postgres://app:${SECRET}@[bad/app` }],
    ['a port that is none', { connectionString: `postgres://app:${SECRET}@db.example:port/app` }],
    ['a port too large', { connectionString: `postgres://app:${SECRET}@db.example:99999999/app` }],
    ['a character that should be escaped', { connectionString: `postgres://app:x#${SECRET}@db.example/app` }],
    ['a file that is not there', { connectionString: `postgres://app@db/app?sslrootcert=/none/${SECRET}` }],
    [
      'a bad port in the options of the driver',
      { connection: { connectionString: `postgres://a:${SECRET}@b:c/` } },
    ],
    ['text instead of options', `postgres://app:${SECRET}@db.example/app`],
    ['text instead of the options of the driver', { connection: `postgres://app:${SECRET}@db.example/app` }],
    ['a list instead of text', { connectionString: [`postgres://app:${SECRET}@db.example/app`] }],
    ['text as the TTL', { ttlMs: `postgres://app:${SECRET}@db.example/app` }],
    ['another fault beside it', { connectionString: `postgres://app:${SECRET}@db.example/app`, ttlMs: 1 }],
  ]

  test.each(malformed)('is not in the error about %s', async (_what, options) => {
    const error = await thrownBy(() => new PgElect(options as PgElectOptions))
    expect(error).toBeInstanceOf(PgElectError)
    expect(error).toMatchObject({ code: 'PG_ELECT_INVALID_ARGUMENT' })
    expect(everythingOf(error)).not.toContain(SECRET)
  })

  test('is not in the client, nor in what it gives out, however deep one looks', async () => {
    const { logger, lines } = new RecordingLog()
    const client = new PgElect({
      connectionString: `postgres://app:${SECRET}@db.example/app`,
      connection: { password: SECRET },
      logger,
    })
    expect(everythingOf(client)).not.toContain(SECRET)
    expect(everythingOf(client.election('job'))).not.toContain(SECRET)
    expect(JSON.stringify([client, client.election('job')])).not.toContain(SECRET)
    await client.close()
    expect(everythingOf(lines)).not.toContain(SECRET)
  })

  test('is not in an error of bad arguments', async () => {
    await using client = new PgElect({ connectionString: `postgres://app:${SECRET}@db.example/app` })
    const calls = [
      () => client.acquire(''),
      () => client.election('job', { x: SECRET } as never),
      () => client.compareAndSwap('k', `${SECRET}\0`, null),
      () => client.compareAndSwap('k', SECRET.repeat(100), null),
      () => client.acquire('job', { metadata: { token: SECRET, huge: 'x'.repeat(5000) } }),
    ]
    for (const call of calls) {
      const error = await thrownBy(call)
      expect(error).toBeInstanceOf(PgElectError)
      expect(everythingOf(error)).not.toContain(SECRET)
    }
  })
})

describe('a client that is closed', () => {
  test('refuses everything, by a typed error', async () => {
    const client = new PgElect({ connectionString: 'postgres://app@db.example/app' })
    await client.close()
    const calls = [
      () => client.acquire('job'),
      () => client.tryAcquire('job'),
      () => client.withLease('job', () => 5),
      () => client.election('job'),
      () => client.tryAdvisoryLock('job'),
      () => client.get('job'),
      () => client.compareAndSwap('k', 'a', null),
      () => client.compareAndSwapVersion('k', 'a', 0),
      () => client.install(),
    ]
    for (const call of calls) {
      expect(await thrownBy(call)).toMatchObject({ name: 'ClosedError', code: 'PG_ELECT_CLOSED' })
    }
    await client.close()
  })
})

// A misspelt option must not be ignored, nor a wrong one end in a TypeError.
test.each<[what: string, call: (client: PgElect) => unknown]>([
  ['an unknown option of a swap', (client) => client.compareAndSwap('k', 'a', null, { ttl: 5 } as never)],
  ['null as the options of a swap', (client) => client.compareAndSwap('k', 'a', null, null as never)],
  ['null as the options of acquire', (client) => client.acquire('k', null as never)],
  ['a signal that is none', (client) => client.acquire('k', { signal: 'x' as never })],
])('%s is refused as a bad argument', async (_what, call) => {
  // Nothing listens there: what is not refused fails at once.
  await using client = new PgElect({ connection: { host: '/nowhere' }, logger: new RecordingLog().logger })
  expect(await thrownBy(() => call(client))).toMatchObject({ code: 'PG_ELECT_INVALID_ARGUMENT' })
})

test('a log line tells of an error its code and message, and nothing that hangs on it', () => {
  const error = Object.assign(new Error('refused', { cause: { password: SECRET } }), {
    code: 'ECONNREFUSED',
    config: { password: SECRET },
    input: `postgres://app:${SECRET}@db.example`,
  })
  expect(describeError(error)).toEqual({ code: 'ECONNREFUSED', message: 'refused' })
  expect(describeError(Object.assign(new Error('x'), { code: 5 }))).toEqual({ message: 'x' })
  expect(describeError('boom')).toEqual({ message: 'boom' })
})
