import { describe, expect, test } from 'vitest'
import { Election, type LeadershipChange } from '../../src/election.ts'
import { Notifier } from '../../src/notifier.ts'
import { channelOf } from './support/model-leases.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { ALMOST_ONE, seededRandom } from './support/random.ts'
import { StubProcess } from './support/stub-process.ts'

const TTL_MS = 600_000

/** Reads all changes as they come. */
function observe(process: StubProcess) {
  const stop = new AbortController()
  const changes: LeadershipChange[] = []
  const state: { isOver: boolean; error?: unknown } = { isOver: false }
  const reading = (async () => {
    try {
      for await (const change of process.election().observe({ signal: stop.signal })) changes.push(change)
    } catch (error) {
      state.error = error
    }
    state.isOver = true
  })()
  const leaders = () => changes.map(({ leader }) => leader?.holder ?? null)
  return { stop, changes, leaders, state, reading }
}

describe('an observer', () => {
  test('is told first how it is', async () => {
    const vacant = new StubProcess()
    const nobody = observe(vacant)
    await vacant.clock.settle()
    expect(nobody.changes).toEqual([{ leader: null, previous: null }])

    const led = new StubProcess()
    led.model.acquire('job', 'one', TTL_MS, { url: 'http://10.0.0.7' })
    const somebody = observe(led)
    await led.clock.settle()
    expect(somebody.changes).toMatchObject([
      { leader: { holder: 'one', token: 1001, metadata: { url: 'http://10.0.0.7' } }, previous: null },
    ])
  })

  test('is told of each change, with who led before', async () => {
    const process = new StubProcess()
    const { model, clock } = process
    const { changes, leaders } = observe(process)
    for (const holder of ['one', 'two']) {
      await clock.advance(1000)
      model.acquire('job', holder, TTL_MS)
      await clock.advance(1000)
      model.force('job')
    }
    await clock.advance(1000)
    expect(leaders()).toEqual([null, 'one', null, 'two', null])
    expect(changes.map(({ previous }) => previous?.holder ?? null)).toEqual([null, null, 'one', null, 'two'])
  })

  test('is told of a new term of the same holder', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'one', TTL_MS)
    const { changes } = observe(process)
    await process.clock.advance(1000)
    process.model.force('job')
    process.model.acquire('job', 'one', TTL_MS)
    await process.clock.advance(1000)
    expect(changes.map(({ leader }) => leader?.token)).toEqual([1001, 1002])
  })

  test('is not told of renewals, nor of notifications that anybody sent', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'one', TTL_MS)
    const { changes } = observe(process)
    for (let round = 0; round < 5; round++) {
      await process.clock.advance(1000)
      process.model.renew('job', 1001)
      process.database.emit('notified', channelOf('job'), '')
    }
    expect(process.database.callsOf('get_lease').length).toBeGreaterThan(5)
    expect(changes).toHaveLength(1)
  })

  test('that reads slowly misses changes in between, never the last one', async () => {
    const process = new StubProcess()
    const { model, clock } = process
    const changes = process.election().observe()
    expect((await changes.next()).value).toEqual({ leader: null, previous: null })
    for (const holder of ['one', 'two', 'three']) {
      model.acquire('job', holder, TTL_MS)
      await clock.advance(100)
      if (holder !== 'three') model.force('job')
    }
    expect((await changes.next()).value).toMatchObject({ leader: { holder: 'three' }, previous: null })
    await changes.return()
  })

  test('is told of an expiry, which sends no notification, just after it', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'one', 10_000)
    const { leaders } = observe(process)
    await process.clock.advance(9999)
    expect(leaders()).toEqual(['one'])
    await process.clock.advance(51)
    expect(leaders()).toEqual(['one', null])
  })

  test('looks at a vacant lease once a TTL, in case a notification was left out', async () => {
    const process = new StubProcess()
    const { leaders } = observe(process)
    await process.clock.advance(1000)
    process.database.removeAllListeners('notified')
    process.model.acquire('job', 'one', TTL_MS)
    await process.clock.advance(15_050)
    expect(leaders()).toEqual([null, 'one'])
  })

  test('reads again what changed while the connection was lost', async () => {
    const process = new StubProcess()
    process.model.acquire('job', 'one', TTL_MS)
    const { leaders } = observe(process)
    await process.clock.advance(1000)
    process.database.removeAllListeners('notified')
    process.database.next('listen', connectionLost())
    process.database.next('get_lease', connectionLost(), connectionLost())
    process.database.emit('lost')
    process.model.force('job')
    process.model.acquire('job', 'two', TTL_MS)
    await process.clock.advance(5000)
    expect(leaders()).toEqual(['one', 'two'])
    expect(process.log.complaints).toEqual([])
  })

  test('gives up on a fault that stays', async () => {
    const process = new StubProcess()
    const error = serverError('42501')
    process.database.always('get_lease', error)
    const { state, reading } = observe(process)
    await reading
    expect(state.error).toBe(error)
    await process.clock.settle()
    expect(process.clock.pendingTimers).toBe(0)
  })
})

describe('an idle observer', () => {
  const TTLS = 20
  const LISTEN_CHECK_TTLS = 1.1

  /** As many as `count` of them in one client whose connection is asked whether it listens, and what they ask from the second TTL on. */
  async function idle({ count = 1, expiresInMs = null as number | null, random = () => 0.5 as number }) {
    const process = new StubProcess({ random })
    const { clock, database, timing, context } = process
    const { ttlMs, queryTimeoutMs: timeoutMs, retryIntervalMs } = timing
    const check = { intervalMs: LISTEN_CHECK_TTLS * ttlMs, timeoutMs }
    const notifier = new Notifier(database, { ...context, retryIntervalMs, pollIntervalMs: 1000, check })
    database.always('get_channels', [{ channel: channelOf('job') }])
    if (expiresInMs !== null) process.model.acquire('job', 'one', expiresInMs)
    for (let each = 0; each < count; each++) {
      const resolved = { timing, metadata: undefined, priority: 0, takeover: 'expiry' as const }
      const changes = new Election({ ...context, notifier }, 'job', resolved).observe()
      void (async () => {
        for await (const _ of changes);
      })()
    }
    await clock.advance(ttlMs / 2)
    const before = database.calls.length
    await clock.advance(TTLS * ttlMs)
    const calls = database.calls.slice(before)
    const statements = new Set(calls.map(({ statement }) => statement)).size
    const checks = calls.filter(({ name }) => name === 'get_channels').length
    return { statements, checks, process }
  }

  test.each([
    ['smallest', () => 0],
    ['largest', () => ALMOST_ONE],
    ['any', seededRandom(3)],
  ])(
    'asks one thing a TTL, and that tells whether it still listens: with the %s random numbers',
    async (_which, random) => {
      const { statements, checks } = await idle({ random })
      expect(statements).toBeLessThanOrEqual(TTLS)
      expect(statements).toBeGreaterThanOrEqual(TTLS - 1)
      expect(checks).toBe(statements)
    },
  )

  test('shares that with all others of its client', async () => {
    const { statements, checks } = await idle({ count: 10 })
    expect(statements).toBeLessThanOrEqual(10 * TTLS)
    expect(checks).toBeGreaterThanOrEqual(TTLS - 1)
  })

  test('of a lease that ends long after is asked about listening alone', async () => {
    const { statements, checks, process } = await idle({ expiresInMs: TTL_MS * 10 })
    expect(checks).toBe(statements)
    expect(statements).toBeLessThanOrEqual(TTLS / LISTEN_CHECK_TTLS)
    expect(statements).toBeGreaterThanOrEqual(TTLS / LISTEN_CHECK_TTLS / 1.1 - 1)
    expect(process.database.callsOf('get_lease').length).toBeLessThanOrEqual(2)
  })
})

describe('observing ends', () => {
  test.each([
    ['its signal aborts', (_process: StubProcess, stop: AbortController) => stop.abort()],
    ['the client closes', (process: StubProcess) => process.closing.abort(new Error('closing'))],
  ])('without an error when %s, and leaves nothing behind', async (_when, end) => {
    const process = new StubProcess()
    const { stop, state, reading } = observe(process)
    await process.clock.advance(1000)
    end(process, stop)
    await reading
    await process.clock.settle()
    expect(state).toEqual({ isOver: true })
    expect(process.database.callsOf('unlisten')).toHaveLength(1)
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('also while the database cannot be asked', async () => {
    const process = new StubProcess()
    process.database.always('get_lease', connectionLost())
    const { stop, state, reading } = observe(process)
    await process.clock.advance(1000)
    stop.abort()
    await reading
    expect(state).toEqual({ isOver: true })
    await process.clock.settle()
    expect(process.clock.pendingTimers).toBe(0)
  })

  test('with the loop that reads it', async () => {
    const process = new StubProcess()
    for await (const change of process.election().observe()) {
      expect(change.leader).toBeNull()
      break
    }
    await process.clock.settle()
    expect(process.database.callsOf('unlisten')).toHaveLength(1)
    expect(process.clock.pendingTimers).toBe(0)
  })
})
