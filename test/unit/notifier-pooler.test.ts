import { describe, expect, test } from 'vitest'
import { Notifier } from '../../src/notifier.ts'
import { channelOf, sessionChannelOf } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { RecordingLog } from './support/recording-log.ts'
import { type Answer, ScriptedDatabase } from './support/scripted-database.ts'
import { microtasks, StubClock } from './support/stub-clock.ts'

const RETRY_MS = 500
const POLL_MS = 1000

const listenToAll: Answer = ({ arguments: asked }) =>
  (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) }))

interface Given {
  readonly isPooled?: boolean
  readonly isSeparate?: boolean
}

/** A connection, behind a pooler or for LISTEN alone, and when each watcher was woken. */
function setUp({ isPooled = false, isSeparate = false }: Given) {
  const clock = new StubClock()
  let backend = 1
  const listenHere: Answer = () => [{ channel: sessionChannelOf(backend), backend }]
  const database = new ScriptedDatabase(clock, { listen: listenToAll, listen_here: listenHere, unlisten: [] })
  database.isBehindPooler = isPooled
  database.on('lost', () => {
    backend += 1
  })
  const log = new RecordingLog()
  const notifier = new Notifier(database, {
    clock,
    random: () => 0.5,
    logger: log.logger,
    retryIntervalMs: RETRY_MS,
    pollIntervalMs: POLL_MS,
    isSeparate,
  })
  const wakes: [name: string, atMs: number][] = []
  const watch = (name: string) => notifier.watch(name, () => void wakes.push([name, clock.trueMs]))
  const watchSession = () => notifier.watchSession(() => void wakes.push(['session', clock.trueMs]))
  /** When that watcher was woken, since the last time that this was asked. */
  const wokenAt = (name: string) => {
    const times = wakes.filter(([woken]) => woken === name).map(([, atMs]) => atMs)
    wakes.splice(0, wakes.length, ...wakes.filter(([woken]) => woken !== name))
    return times
  }
  const asked = () => database.calls.map(({ name }) => name)
  return { clock, database, log, notifier, watch, watchSession, wokenAt, asked, listenHere }
}

const pooled = () => setUp({ isPooled: true })
const separate = () => setUp({ isSeparate: true })

describe('behind a pooler', () => {
  test('nothing is listened to, and nothing is heard', async () => {
    const { clock, notifier, watch, watchSession, asked } = pooled()
    watch('job')
    watchSession()
    await clock.advance(10_000)
    expect(asked()).toEqual([])
    expect(notifier.hearsSession).toBe(false)
    expect(notifier.backend).toBeUndefined()
  })

  test('each watcher is woken once an interval, for as long as it watches', async () => {
    const { clock, watch, wokenAt } = pooled()
    const unwatch = watch('job')
    watch('other')
    await clock.advance(3500)
    expect(wokenAt('job')).toEqual([1000, 2000, 3000])
    expect(wokenAt('other')).toEqual([1000, 2000, 3000])
    unwatch()
    await clock.advance(1000)
    expect(wokenAt('job')).toEqual([])
    expect(wokenAt('other')).toEqual([4000])
  })

  test('one that comes later waits no longer than an interval', async () => {
    const { clock, watch, wokenAt } = pooled()
    watch('job')
    await clock.advance(1800)
    watch('late')
    watch('job')
    await clock.advance(300)
    expect(wokenAt('late')).toEqual([2000])
    expect(wokenAt('job')).toEqual([1000, 2000, 2000])
  })

  test('one that comes at any moment of finding that out is woken, too', async () => {
    for (let moment = 0; moment < 20; moment++) {
      const { clock, watch, wokenAt } = pooled()
      watch('first')
      await microtasks(moment)
      watch('second')
      await clock.advance(1000)
      expect(wokenAt('second'), `after ${moment} microtasks`).toEqual([1000])
    }
  })

  test('one timer does for all, and none is left when nobody watches', async () => {
    const { clock, watch } = pooled()
    const ends = ['one', 'two', 'three'].map(watch)
    await clock.settle()
    expect(clock.pendingTimers).toBe(1)
    for (const end of ends) end()
    expect(clock.pendingTimers).toBe(0)
    watch('again')
    await clock.settle()
    expect(clock.pendingTimers).toBe(1)
  })

  test('closing ends it', async () => {
    const { clock, notifier, watch, wokenAt } = pooled()
    watch('job')
    await clock.settle()
    notifier.close()
    expect(clock.pendingTimers).toBe(0)
    await clock.advance(10_000)
    expect(wokenAt('job')).toEqual([])
  })

  // They look by themselves, before what they were handed runs out.
  test('those who wait in line are not woken', async () => {
    const { clock, watchSession, wokenAt } = pooled()
    watchSession()
    await clock.advance(10_000)
    expect(wokenAt('session')).toEqual([])
    expect(clock.pendingTimers).toBe(0)
  })

  test('it is told once, with the option that helps, however often the connection is lost', async () => {
    const { clock, database, log, watch } = pooled()
    watch('job')
    watch('other')
    await clock.advance(2000)
    for (let time = 0; time < 3; time++) {
      database.emit('lost')
      await clock.advance(2000)
    }
    watch('late')
    await clock.advance(2000)
    expect(log.messages('info')).toEqual([expect.stringContaining('listenConnectionString')])
    expect(log.complaints).toEqual([])
  })

  test('of which nobody is told where nobody watches', async () => {
    const { clock, log } = pooled()
    await clock.advance(10_000)
    expect(log.lines).toEqual([])
  })

  test('a connection that comes back without one is listened on, and nobody is woken for nothing', async () => {
    const { clock, database, watch, wokenAt, asked } = pooled()
    watch('job')
    await clock.advance(1500)
    database.isBehindPooler = false
    database.emit('lost')
    await clock.advance(RETRY_MS)
    expect(asked()).toEqual(['listen'])
    expect(wokenAt('job')).toEqual([1000, 1500 + RETRY_MS / 2])
    await clock.advance(10_000)
    expect(wokenAt('job')).toEqual([])
    expect(clock.pendingTimers).toBe(0)
    // Nor when it is lost: there is nobody to ask.
    database.always('listen', connectionLost())
    database.emit('lost')
    await clock.advance(10_000)
    expect(wokenAt('job')).toEqual([])
  })

  test('a connection that comes back with one is not listened on any more', async () => {
    const { clock, database, watch, wokenAt, asked } = setUp({})
    watch('job')
    await clock.settle()
    database.isBehindPooler = true
    database.emit('lost')
    await clock.advance(10_000)
    expect(asked()).toEqual(['listen'])
    expect(wokenAt('job')).toHaveLength(1 + 9)
  })
})

describe('a connection for LISTEN alone', () => {
  test('is the one in which hand-offs are to be told', async () => {
    const { clock, notifier, watchSession } = separate()
    expect(notifier.backend).toBeUndefined()
    watchSession()
    await clock.settle()
    expect([notifier.hearsSession, notifier.backend]).toEqual([true, 1])
  })

  test('unlike one on which is asked, too', async () => {
    const { clock, notifier, watchSession } = setUp({})
    watchSession()
    await clock.settle()
    expect([notifier.hearsSession, notifier.backend]).toEqual([true, undefined])
  })

  test('wakes by what it hears, and nobody looks meanwhile', async () => {
    const { clock, database, watch, wokenAt } = separate()
    watch('job')
    await clock.advance(60_000)
    database.emit('notified', channelOf('job'), '')
    expect(wokenAt('job')).toEqual([0, 60_000])
    expect(clock.pendingTimers).toBe(0)
  })

  test('that is lost is made up for until it is there again, as another session', async () => {
    const { clock, database, notifier, watch, watchSession, wokenAt, listenHere } = separate()
    watch('job')
    watchSession()
    await clock.settle()
    wokenAt('job')
    wokenAt('session')
    database.always('listen', connectionLost())
    database.always('listen_here', connectionLost())
    database.emit('lost')
    expect([notifier.hearsSession, notifier.backend]).toEqual([false, undefined])
    await clock.advance(3500)
    expect(wokenAt('job')).toEqual([1000, 2000, 3000])
    database.always('listen', listenToAll)
    database.always('listen_here', listenHere)
    await clock.advance(16 * RETRY_MS)
    expect(wokenAt('session')).toHaveLength(1)
    expect(notifier.backend).toBe(2)
    wokenAt('job')
    await clock.advance(60_000)
    expect(wokenAt('job')).toEqual([])
    expect(clock.pendingTimers).toBe(0)
  })

  test('that cannot be had from the start is made up for, too', async () => {
    const { clock, database, watch, wokenAt } = separate()
    database.always('listen', connectionLost())
    watch('job')
    await clock.advance(2500)
    expect(wokenAt('job')).toEqual([1000, 2000])
  })

  test('that cannot be had is made up for also for one that comes while nobody watches', async () => {
    const { clock, database, watch, wokenAt } = separate()
    database.always('listen', connectionLost())
    const unwatch = watch('job')
    // Its attempts are far apart by now.
    await clock.advance(60_000)
    unwatch()
    watch('late')
    await clock.advance(POLL_MS)
    expect(wokenAt('late')).toEqual([61_000])
  })

  test('that leads to a pooler, too, is of no use, and says so once', async () => {
    const { clock, database, log, notifier, watch, watchSession, wokenAt, asked } = setUp({
      isPooled: true,
      isSeparate: true,
    })
    watch('job')
    watchSession()
    await clock.advance(2500)
    database.emit('lost')
    await clock.advance(1000)
    expect(asked()).toEqual([])
    expect(wokenAt('job')).toEqual([1000, 2000, 3000])
    expect(notifier.backend).toBeUndefined()
    expect(log.complaints).toMatchObject([
      { level: 'warn', message: expect.stringContaining('listenConnectionString') },
    ])
  })
})

test('nobody is woken for nothing while the only connection is lost: there is nobody to ask', async () => {
  const { clock, database, watch, wokenAt } = setUp({})
  watch('job')
  await clock.settle()
  wokenAt('job')
  database.always('listen', connectionLost())
  database.emit('lost')
  await clock.advance(60_000)
  expect(wokenAt('job')).toEqual([])
})
