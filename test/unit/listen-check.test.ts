import { describe, expect, test } from 'vitest'
import type { Random } from '../../src/jitter.ts'
import { ListenCheck } from '../../src/listen-check.ts'
import { Notifier } from '../../src/notifier.ts'
import { getLease } from '../../src/queries.ts'
import { channelOf } from './support/model-leases.ts'
import { connectionLost, serverError } from './support/pg-errors.ts'
import { ALMOST_ONE, seededRandom } from './support/random.ts'
import { RecordingLog } from './support/recording-log.ts'
import { grantedRow } from './support/rows.ts'
import { type Answer, NEVER, ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

const INTERVAL_MS = 5000
const TIMEOUT_MS = 3000

function rows(...channels: string[]): object[] {
  return channels.map((channel) => ({ channel }))
}

function setUp({ random = () => 0 }: { random?: Random } = {}) {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, { get_channels: rows('one', 'two'), get_lease: [] })
  const log = new RecordingLog()
  const listening = {
    channels: ['one', 'two'],
    missed: (channels: readonly string[]) => void missed.push(channels),
  }
  const missed: (readonly string[])[] = []
  const options = { clock, random, logger: log.logger, intervalMs: INTERVAL_MS, timeoutMs: TIMEOUT_MS }
  const check = new ListenCheck(database, listening, options)
  const times = () => database.callsOf('get_channels').map(({ sentAtMs }) => sentAtMs)
  /** Looks at a lease, by way of the check. */
  const look = () => getLease(check.along, 'job', { timeoutMs: 2000 })
  return { clock, database, log, listening, missed, check, times, look }
}

describe('a session that listens', () => {
  test('is asked once an interval while nothing else is, within a time', async () => {
    const { clock, database, check, times, missed } = setUp()
    check.begin()
    await clock.advance(20_000)
    expect(times()).toEqual([5000, 10_000, 15_000, 20_000])
    expect(database.callsOf('get_channels')[0]?.timeoutMs).toBe(TIMEOUT_MS)
    expect(missed).toEqual([])
  })

  test('is asked once an interval, though other things are asked all the time: it may have stopped listening', async () => {
    const { clock, database, check, times } = setUp()
    check.begin()
    for (let step = 0; step < 20; step++) {
      await clock.advance(500)
      await getLease(database, 'job')
    }
    expect(times()).toEqual([5000, 10_000])
  })

  test.each<[string, Random]>([
    ['smallest', () => 0],
    ['largest', () => ALMOST_ONE],
    ['any', seededRandom(1)],
  ])('is asked late by at most a tenth: with the %s random numbers', async (_which, random) => {
    const { clock, check, times } = setUp({ random })
    check.begin()
    await clock.advance(60_000)
    let before = 0
    for (const at of times()) {
      expect(at - before).toBeGreaterThanOrEqual(INTERVAL_MS)
      expect(at - before).toBeLessThanOrEqual(INTERVAL_MS * 1.1 + 1)
      before = at
    }
    expect(times().length).toBeGreaterThanOrEqual(10)
  })

  test('that does not listen to something any more is told so', async () => {
    const { clock, database, check, missed } = setUp()
    check.begin()
    database.next('get_channels', rows('two', 'of nobody here'), rows())
    await clock.advance(5000)
    expect(missed).toEqual([['one']])
    await clock.advance(5000)
    expect(missed).toEqual([['one'], ['one', 'two']])
    await clock.advance(5000)
    expect(missed).toHaveLength(2)
  })

  test('is asked for what it listened to when it was asked', async () => {
    const { clock, database, listening, check, missed } = setUp()
    check.begin()
    const asked = database.hold('get_channels')
    await clock.advance(5000)
    listening.channels.push('three')
    ;(await asked).answer(...rows('one', 'two'))
    await clock.settle()
    expect(missed).toEqual([])
  })

  test.each([
    ['never answers', NEVER],
    ['is lost', connectionLost()],
    ['cannot say', serverError('42883')],
  ])('that %s is asked again, one at a time', async (_what, answer) => {
    const { clock, database, log, check, missed } = setUp()
    database.always('get_channels', answer)
    check.begin()
    await clock.advance(60_000)
    expect(database.callsOf('get_channels').length).toBeGreaterThan(5)
    expect(database.inFlightMax('get_channels')).toBe(1)
    expect(missed).toEqual([])
    expect(log.messages('warn')).toEqual([])
  })

  test('is left alone once nothing is listened to, or it is stopped', async () => {
    const { clock, database, listening, check, times } = setUp()
    check.begin()
    await clock.advance(5000)
    listening.channels.length = 0
    await clock.advance(60_000)
    expect(times()).toEqual([5000])
    expect(clock.pendingTimers).toBe(0)
    listening.channels.push('one')
    check.begin()
    check.begin()
    await clock.advance(5000)
    expect(times()).toHaveLength(2)
    const asked = database.hold('get_channels')
    await clock.advance(5000)
    check.stop()
    ;(await asked).answer(...rows('one'))
    await clock.settle()
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('what is asked along', () => {
  const LEASE = { ...grantedRow(7, 'ada'), acquired_at_ms: 0, step_down_requested: false, in_grace: false }

  test('tells the channels from half an interval on, in one statement: then nothing is asked for them alone', async () => {
    const { clock, database, check, times, look, missed } = setUp()
    check.begin()
    for (let step = 0; step < 10; step++) {
      await clock.advance(4999)
      await look()
    }
    expect(times()).toEqual(database.callsOf('get_lease').map(({ sentAtMs }) => sentAtMs))
    expect(new Set(database.calls.map(({ statement }) => statement)).size).toBe(10)
    expect(database.callsOf('get_channels')[0]?.timeoutMs).toBe(2000)
    expect(missed).toEqual([])
  })

  test('before that is asked by itself, and puts nothing off', async () => {
    const { clock, check, times, look } = setUp()
    check.begin()
    await clock.advance(2499)
    await look()
    expect(times()).toEqual([])
    await clock.advance(2501)
    expect(times()).toEqual([5000])
    await clock.advance(2500)
    await look()
    await clock.advance(4999)
    expect(times()).toEqual([5000, 7500])
    await clock.advance(1)
    expect(times()).toEqual([5000, 7500, 12_500])
  })

  test.each([
    ['a lease', [LEASE], { holder: 'ada', token: 7 }],
    ['no lease', [], undefined],
  ])('is answered as ever: %s', async (_what, answer, expected) => {
    const { clock, database, check, look } = setUp()
    check.begin()
    await clock.advance(3000)
    database.next('get_lease', answer)
    const lease = await look()
    if (expected === undefined) expect(lease).toBeUndefined()
    else expect(lease).toMatchObject(expected)
    expect(database.callsOf('get_channels')).toHaveLength(1)
  })

  test.each([
    ['some of them', rows('two'), ['one']],
    ['all of them', [], ['one', 'two']],
  ])('notices that the session does not listen to %s any more', async (_what, answer, expected) => {
    const { clock, database, check, look, missed } = setUp()
    check.begin()
    await clock.advance(3000)
    database.next('get_channels', answer)
    await look()
    expect(missed).toEqual([expected])
  })

  test('and fails throws, and the session is asked when it is due', async () => {
    const { clock, database, check, look, times, missed } = setUp()
    check.begin()
    await clock.advance(3000)
    const lost = connectionLost()
    database.next('get_lease', lost)
    await expect(look()).rejects.toBe(lost)
    await clock.advance(2000)
    expect(times()).toEqual([3000, 5000])
    expect(missed).toEqual([])
  })

  test('is asked by itself where nothing is listened to', async () => {
    const { clock, check, times, look } = setUp()
    await clock.advance(60_000)
    await look()
    check.begin()
    await clock.advance(3000)
    check.stop()
    await look()
    expect(times()).toEqual([])
  })
})

describe('a notifier that looks', () => {
  const listenToAll: Answer = ({ arguments: asked }) =>
    (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) }))

  function listener({ isSeparate = false } = {}) {
    const clock = new StubClock()
    const database = new ScriptedDatabase(clock, {
      listen: listenToAll,
      unlisten: [],
      get_channels: rows(channelOf('job'), channelOf('other')),
    })
    const log = new RecordingLog()
    const check = { intervalMs: INTERVAL_MS, timeoutMs: TIMEOUT_MS }
    const parts = { clock, random: () => 0, logger: log.logger, retryIntervalMs: 500, pollIntervalMs: 1000 }
    const notifier = new Notifier(database, { ...parts, isSeparate, check })
    const wakes: string[] = []
    const watch = (name: string) => notifier.watch(name, () => void wakes.push(name))
    return { clock, database, log, notifier, wakes, watch }
  }

  test('listens again to what is missing, and wakes those who watch it', async () => {
    const { clock, database, wakes, watch, log } = listener()
    watch('job')
    watch('other')
    await clock.advance(1000)
    expect(wakes.toSorted()).toEqual(['job', 'other'])
    wakes.length = 0
    database.next('get_channels', rows(channelOf('other')))
    await clock.advance(4000)
    expect(wakes).toEqual(['job'])
    expect(database.callsOf('listen').at(-1)?.arguments.names).toEqual(['job'])
    expect(log.messages('info')).toEqual(['the server has stopped listening, listening again'])
    database.emit('notified', channelOf('job'), '')
    expect(wakes).toEqual(['job', 'job'])
  })

  test('listens again to all, and wakes all, when the connection turns out to be dead', async () => {
    const { clock, database, wakes, watch } = listener()
    watch('job')
    watch('other')
    await clock.advance(1000)
    wakes.length = 0
    // As the real one does when an answer does not come in time.
    database.next('get_channels', () => {
      database.emit('lost')
      throw connectionLost()
    })
    await clock.advance(4000)
    expect(wakes.toSorted()).toEqual(['job', 'other'])
    expect(database.callsOf('listen').at(-1)?.arguments.names).toEqual(['job', 'other'])
  })

  test('leaves alone what nobody watches any more', async () => {
    const { clock, database, log, wakes, watch } = listener()
    watch('job')
    const unwatch = watch('other')
    await clock.advance(1000)
    wakes.length = 0
    const listened = database.callsOf('listen').length
    const asked = database.hold('get_channels')
    await clock.advance(4000)
    unwatch()
    ;(await asked).answer(...rows(channelOf('job')))
    await clock.settle()
    expect(wakes).toEqual([])
    expect(database.callsOf('listen')).toHaveLength(listened)
    expect(log.messages('info')).toEqual([])
  })

  test('does not look behind a pooler, where nothing is listened to', async () => {
    const { clock, database, watch } = listener()
    database.isBehindPooler = true
    watch('job')
    await clock.advance(60_000)
    expect(database.callsOf('get_channels')).toEqual([])
  })

  test('keeps no timer once it is closed', async () => {
    const { clock, notifier, watch } = listener()
    watch('job')
    await clock.advance(1000)
    notifier.close()
    expect(clock.pendingTimers).toBe(0)
  })

  test('does so along with looks that are asked in the session that listens', async () => {
    const { clock, database, notifier, watch, wakes } = listener()
    watch('job')
    await clock.advance(3000)
    wakes.length = 0
    database.next('get_channels', [])
    database.next('get_lease', [])
    await getLease(notifier.lookingBy(database), 'job')
    await clock.settle()
    expect(database.callsOf('get_channels')).toHaveLength(1)
    expect(wakes).toEqual(['job'])
  })

  test('does so by itself where looks are asked in another one', async () => {
    const { clock, database, notifier, watch } = listener({ isSeparate: true })
    const other = new ScriptedDatabase(clock, { get_lease: [] })
    expect(notifier.lookingBy(other)).toBe(other)
    watch('job')
    await clock.advance(15_000)
    expect(database.callsOf('get_channels').map(({ sentAtMs }) => sentAtMs)).toEqual([5000, 10_000, 15_000])
  })
})
