import { describe, expect, test } from 'vitest'
import { InvalidArgumentError, SchemaMissingError } from '../../src/errors.ts'
import { type Executor, getLease } from '../../src/queries.ts'
import { Reads } from '../../src/reads.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { RecordingLog } from './support/recording-log.ts'
import { NEVER, ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

const RETRY_MS = 500

function row(holder: string): object {
  return {
    holder,
    token: '1',
    version: '1',
    metadata: null,
    acquired_at_ms: 0,
    expires_in_ms: 1,
    in_grace: false,
  }
}

function setUp() {
  const clock = new StubClock()
  const control = new ScriptedDatabase(clock, { get_lease: [row('of the primary')] })
  const standby = new ScriptedDatabase(clock, { get_lease: [row('of the standby')] })
  const log = new RecordingLog()
  const reads = new Reads(control, standby, { clock, logger: log.logger, retryIntervalMs: RETRY_MS })
  const ask = async () =>
    (await reads.ask((executor) => getLease(executor, 'job', { timeoutMs: 1000 })))?.holder
  return { clock, control, standby, log, reads, ask }
}

test('reads go to the control connection where there is no other', async () => {
  const { clock, control, log } = setUp()
  const reads = new Reads(control, undefined, { clock, logger: log.logger, retryIntervalMs: RETRY_MS })
  expect((await reads.ask((executor: Executor) => getLease(executor, 'job')))?.holder).toBe('of the primary')
})

describe('with a connection for reads', () => {
  test('reads go there, and nowhere else', async () => {
    const { control, ask } = setUp()
    expect(await ask()).toBe('of the standby')
    expect(control.calls).toEqual([])
  })

  test.each([
    ['a connection that is lost', connectionLost()],
    ['a schema that has not come there yet', serverError('3F000')],
    ['a role that may not', serverError('42501')],
    ['a conflict with what is being replayed', serverError('40001')],
  ])('%s there makes them go to the control connection', async (_what, error) => {
    const { standby, log, ask } = setUp()
    standby.always('get_lease', error)
    expect(await ask()).toBe('of the primary')
    expect(await ask()).toBe('of the primary')
    expect(standby.calls).toHaveLength(1)
    expect(log.messages('info')).toEqual(['readConnection cannot be asked now, reading from the primary'])
  })

  test('it is looked at now and then while it is down, and nobody waits for that', async () => {
    const { clock, standby, log, ask } = setUp()
    standby.always('get_lease', NEVER)
    const first = ask()
    await clock.advance(1000)
    expect(await first).toBe('of the primary')
    for (let step = 0; step < 100; step++) {
      expect(await ask()).toBe('of the primary')
      await clock.advance(RETRY_MS)
    }
    // 50 seconds of it, and a look takes one more.
    expect(standby.calls.length).toBeGreaterThan(5)
    expect(standby.calls.length).toBeLessThan(11)
    expect(standby.inFlightMax('get_lease')).toBe(1)
    expect(log.messages('info')).toHaveLength(1)
    standby.always('get_lease', [row('of the standby')])
    await clock.advance(20 * RETRY_MS)
    expect(await ask()).toBe('of the primary')
    await clock.settle()
    expect(await ask()).toBe('of the standby')
  })

  test('a bad argument is the caller’s', async () => {
    const { control, standby, ask } = setUp()
    standby.next('get_lease', serverError('22023'))
    await expect(ask()).rejects.toThrow(InvalidArgumentError)
    expect(control.calls).toEqual([])
    expect(await ask()).toBe('of the standby')
  })

  test('what the control connection says is the last word', async () => {
    const { control, standby, ask } = setUp()
    standby.always('get_lease', connectionLost())
    control.always('get_lease', serverError('42883'))
    await expect(ask()).rejects.toThrow(SchemaMissingError)
  })
})
