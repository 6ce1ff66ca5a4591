import { describe, expect, test } from 'vitest'
import type { Random } from '../../src/jitter.ts'
import { Notifier } from '../../src/notifier.ts'
import { channelOf } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { RecordingLog } from './support/recording-log.ts'
import { type Answer, ScriptedDatabase } from './support/scripted-database.ts'
import { microtasks, StubClock } from './support/stub-clock.ts'

const RETRY_MS = 500

const listenToAll: Answer = ({ arguments: asked }) =>
  (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) }))

function setUp({ random = () => 0.5 }: { random?: Random } = {}) {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, { listen: listenToAll, unlisten: [] })
  const log = new RecordingLog()
  const notifier = new Notifier(database, {
    clock,
    random,
    logger: log.logger,
    retryIntervalMs: RETRY_MS,
    pollIntervalMs: 1000,
  })
  const wakes: string[] = []
  const watch = (name: string) => notifier.watch(name, () => void wakes.push(name))
  const listened = () => database.callsOf('listen').map((call) => call.arguments.names)
  const unlistened = () => database.callsOf('unlisten').map((call) => call.arguments.names)
  const notify = (name: string) => void database.emit('notified', channelOf(name), '')
  return { clock, database, log, notifier, wakes, watch, listened, unlistened, notify }
}

describe('a watch', () => {
  test('is woken when its LISTEN is in force, and not before', async () => {
    const { clock, database, wakes, watch } = setUp()
    const listening = database.hold('listen')
    watch('job')
    await clock.settle()
    expect(wakes).toEqual([])
    ;(await listening).answer({ name: 'job', channel: channelOf('job') })
    await clock.settle()
    expect(wakes).toEqual(['job'])
  })

  test('is woken by each notification of its lease, and of no other', async () => {
    const { clock, wakes, watch, notify } = setUp()
    watch('job')
    watch('other')
    await clock.settle()
    wakes.length = 0
    notify('job')
    notify('job')
    expect(wakes).toEqual(['job', 'job'])
  })

  test('is woken at once where the lease is listened to already', async () => {
    const { clock, wakes, watch, listened } = setUp()
    watch('job')
    await clock.settle()
    watch('job')
    expect(wakes).toEqual(['job', 'job'])
    await clock.settle()
    expect(listened()).toEqual([['job']])
  })

  test('takes no heed of channels that nobody watches', async () => {
    const { clock, database, wakes, watch } = setUp()
    watch('job')
    await clock.settle()
    wakes.length = 0
    for (const channel of ['', 'elect', 'job', '\0', 'undefined', channelOf('other'), undefined as never]) {
      expect(() => database.emit('notified', channel, '')).not.toThrow()
    }
    expect(wakes).toEqual([])
  })

  test('is not woken by a channel that is unknown while its own is, too', async () => {
    const { clock, database, wakes, watch } = setUp()
    void database.hold('listen')
    watch('job')
    await clock.settle()
    database.emit('notified', channelOf('job'), '')
    expect(wakes).toEqual([])
  })

  test('ends: no wake, no LISTEN', async () => {
    const { clock, wakes, watch, unlistened, notify } = setUp()
    const unwatch = watch('job')
    await clock.settle()
    wakes.length = 0
    unwatch()
    unwatch()
    notify('job')
    await clock.settle()
    expect(wakes).toEqual([])
    expect(unlistened()).toEqual([['job']])
  })

  test('that ends leaves the other watches of its lease', async () => {
    const { clock, wakes, watch, unlistened, notify } = setUp()
    const unwatch = watch('job')
    watch('job')
    await clock.settle()
    wakes.length = 0
    unwatch()
    notify('job')
    expect(wakes).toEqual(['job'])
    expect(unlistened()).toEqual([])
  })

  test('that ends before its LISTEN is in force takes it back then', async () => {
    const { clock, database, wakes, watch, unlistened } = setUp()
    const listening = database.hold('listen')
    const unwatch = watch('job')
    unwatch()
    ;(await listening).answer({ name: 'job', channel: channelOf('job') })
    await clock.settle()
    expect(unlistened()).toEqual([['job']])
    expect(wakes).toEqual([])
  })

  test('that ends and begins again listens again, after the UNLISTEN', async () => {
    const { clock, database, wakes, watch, notify } = setUp()
    watch('job')()
    await clock.settle()
    const unwatch = watch('job')
    await clock.settle()
    unwatch()
    watch('job')
    await clock.settle()
    const last = database.calls.at(-1)
    expect(last).toMatchObject({ name: 'listen', arguments: { names: ['job'] } })
    wakes.length = 0
    notify('job')
    expect(wakes).toEqual(['job'])
  })

  test('survives an UNLISTEN that fails', async () => {
    const { clock, database, watch } = setUp()
    database.always('unlisten', connectionLost())
    const unwatch = watch('job')
    await clock.settle()
    unwatch()
    await clock.settle()
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('LISTEN', () => {
  test('is one statement for all that are waited for', async () => {
    const { clock, database, wakes, watch, listened } = setUp()
    const first = database.hold('listen')
    watch('first')
    await clock.settle()
    for (let place = 0; place < 100; place++) watch(`lease ${place}`)
    await clock.settle()
    expect(database.inFlightMax('listen')).toBe(1)
    ;(await first).answer({ name: 'first', channel: channelOf('first') })
    await clock.settle()
    expect(listened().map((names) => (names as string[]).length)).toEqual([1, 100])
    expect(wakes).toHaveLength(101)
  })

  test('is never forgotten for a watch that comes at any moment of another one', async () => {
    for (let moment = 0; moment < 40; moment++) {
      const { clock, database, wakes, watch, notify } = setUp()
      const listening = database.hold('listen')
      watch('first')
      await clock.settle()
      ;(await listening).answer({ name: 'first', channel: channelOf('first') })
      await microtasks(moment)
      watch('second')
      await clock.settle()
      wakes.length = 0
      notify('first')
      notify('second')
      expect(wakes, `after ${moment} microtasks`).toEqual(['first', 'second'])
    }
  })

  test('is never forgotten for a watch that ends and begins again at any moment of it', async () => {
    for (let moment = 0; moment < 40; moment++) {
      const { clock, database, wakes, watch, notify } = setUp()
      const listening = database.hold('listen')
      const unwatch = watch('job')
      await clock.settle()
      ;(await listening).answer({ name: 'job', channel: channelOf('job') })
      await microtasks(moment)
      unwatch()
      watch('job')
      await clock.settle()
      wakes.length = 0
      notify('job')
      expect(wakes, `after ${moment} microtasks`).toEqual(['job'])
      // The server does them in this order: the last word must not be UNLISTEN.
      expect(database.calls.at(-1)?.name, `after ${moment} microtasks`).toBe('listen')
    }
  })
})

describe('after a lost connection', () => {
  test('all are listened to again by one statement, and woken: what was told meanwhile is lost', async () => {
    const { clock, database, wakes, watch, listened } = setUp()
    watch('one')
    watch('two')
    await clock.settle()
    wakes.length = 0
    database.emit('lost')
    await clock.advance(RETRY_MS)
    expect(listened().at(-1)).toEqual(['one', 'two'])
    expect(wakes).toEqual(['one', 'two'])
  })

  test('they come back within a retry interval, each process at its own time: no herd at a server that restarts', async () => {
    for (const chance of [0, 0.5, 0.999]) {
      const { clock, database, watch } = setUp({ random: () => chance })
      watch('job')
      await clock.settle()
      database.emit('lost')
      await clock.advance(RETRY_MS)
      expect(database.callsOf('listen').map(({ sentAtMs }) => sentAtMs)).toEqual([
        0,
        Math.ceil(RETRY_MS * chance),
      ])
    }
  })

  test('a LISTEN that fails is tried again, at twice the distance each time, up to sixteen times', async () => {
    const { clock, database, wakes, watch, log } = setUp()
    watch('job')
    await clock.settle()
    database.always('listen', connectionLost())
    database.emit('lost')
    await clock.advance(100_000)
    const times = database.callsOf('listen').map(({ sentAtMs }) => sentAtMs)
    const distances = times.slice(2).map((at, place) => at - (times[place + 1] ?? 0))
    expect(distances.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 16, 16].map((factor) => factor * RETRY_MS))
    expect(log.complaints).toEqual([])

    wakes.length = 0
    database.always('listen', listenToAll)
    await clock.advance(16 * RETRY_MS)
    expect(wakes).toEqual(['job'])
    expect(clock.pendingTimers).toBe(0)
  })

  test('the distance begins anew', async () => {
    const { clock, database, watch } = setUp()
    watch('job')
    await clock.settle()
    database.next('listen', connectionLost(), connectionLost(), connectionLost())
    database.emit('lost')
    await clock.advance(10_000)
    database.next('listen', connectionLost())
    database.emit('lost')
    await clock.advance(2 * RETRY_MS)
    const [retry, again] = database.callsOf('listen').slice(-2)
    expect((again?.sentAtMs ?? 0) - (retry?.sentAtMs ?? 0)).toBe(RETRY_MS)
  })

  test('a loss at any moment of a LISTEN that fails with it is made good', async () => {
    for (let moment = 0; moment < 20; moment++) {
      const { clock, database, wakes, watch, notify } = setUp()
      const listening = database.hold('listen')
      watch('job')
      await clock.settle()
      ;(await listening).fail(connectionLost())
      await microtasks(moment)
      database.emit('lost')
      await clock.advance(2 * RETRY_MS)
      wakes.length = 0
      notify('job')
      expect(wakes, `after ${moment} microtasks`).toEqual(['job'])
    }
  })

  test('nothing is listened to where nothing is watched', async () => {
    const { clock, database, watch } = setUp()
    const unwatch = watch('job')
    await clock.settle()
    unwatch()
    database.emit('lost')
    await clock.advance(10_000)
    expect(database.callsOf('listen')).toHaveLength(1)
  })
})

describe('close', () => {
  test('ends the retries at once', async () => {
    const { clock, database, notifier, watch } = setUp()
    database.always('listen', connectionLost())
    watch('job')
    await clock.advance(5000)
    const before = database.calls.length
    expect(clock.pendingTimers).toBe(1)
    notifier.close()
    await clock.settle()
    expect(clock.pendingTimers).toBe(0)
    database.emit('lost')
    await clock.advance(60_000)
    expect(database.calls).toHaveLength(before)
  })

  test('wakes nobody any more', async () => {
    const { clock, notifier, wakes, watch, notify } = setUp()
    const unwatch = watch('job')
    await clock.settle()
    wakes.length = 0
    notifier.close()
    notify('job')
    unwatch()
    await clock.settle()
    expect(wakes).toEqual([])
  })
})
