import { describe, expect, test } from 'vitest'
import { Notifier } from '../../src/notifier.ts'
import { channelOf, sessionChannelOf } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { RecordingLog } from './support/recording-log.ts'
import { type Answer, ScriptedDatabase } from './support/scripted-database.ts'
import { microtasks, StubClock } from './support/stub-clock.ts'

const RETRY_MS = 500

const listenToAll: Answer = ({ arguments: asked }) =>
  (asked.names as string[]).map((name) => ({ name, channel: channelOf(name) }))

/** A session that becomes another one with each loss, and what its watcher was told. */
function setUp() {
  const clock = new StubClock()
  let backend = 1
  const listenHere: Answer = () => [{ channel: sessionChannelOf(backend) }]
  const database = new ScriptedDatabase(clock, {
    listen_here: listenHere,
    listen: listenToAll,
    unlisten: [],
  })
  database.on('lost', () => {
    backend += 1
  })
  const log = new RecordingLog()
  const parts = {
    clock,
    random: () => 0.5,
    logger: log.logger,
    retryIntervalMs: RETRY_MS,
    pollIntervalMs: 1000,
  }
  const notifier = new Notifier(database, parts)
  const heard: (string | undefined)[] = []
  const watchSession = () => notifier.watchSession((message) => void heard.push(message))
  const tell = (message: string, channel = sessionChannelOf(backend)) =>
    database.emit('notified', channel, message)
  return { clock, database, log, notifier, heard, watchSession, tell, listenHere }
}

describe("a session's own channel", () => {
  test('is listened to once it is watched, and its watcher told so', async () => {
    const { clock, database, notifier, heard, watchSession } = setUp()
    const listening = database.hold('listen_here')
    watchSession()
    await clock.settle()
    expect(notifier.hearsSession).toBe(false)
    expect(heard).toEqual([])
    ;(await listening).answer({ channel: sessionChannelOf(1) })
    await clock.settle()
    expect(notifier.hearsSession).toBe(true)
    expect(heard).toEqual([undefined])
    expect(database.callsOf('listen')).toEqual([])
  })

  test('hands on each message as it came, and none of other channels', async () => {
    const { clock, notifier, heard, watchSession, tell } = setUp()
    watchSession()
    notifier.watch('job', () => undefined)
    await clock.settle()
    heard.length = 0
    tell('one')
    tell('two', channelOf('job'))
    tell('three', sessionChannelOf(11))
    tell('')
    expect(heard).toEqual(['one', ''])
  })

  test('is not listened to where only leases are watched', async () => {
    const { clock, database, notifier } = setUp()
    notifier.watch('job', () => undefined)
    await clock.settle()
    expect(database.calls.map(({ name }) => name)).toEqual(['listen'])
    expect(notifier.hearsSession).toBe(false)
  })

  test('and those of leases are listened to side by side', async () => {
    const { clock, database, notifier, heard, watchSession } = setUp()
    const wakes: (string | undefined)[] = []
    watchSession()
    notifier.watch('job', (message) => void wakes.push(message))
    await clock.settle()
    expect(database.callsOf('listen').map((call) => call.arguments.names)).toEqual([['job']])
    expect([heard, wakes]).toEqual([[undefined], [undefined]])
  })

  test('is heard also where the channels of leases cannot be listened to', async () => {
    const { clock, database, notifier, watchSession } = setUp()
    database.always('listen', connectionLost())
    watchSession()
    notifier.watch('job', () => undefined)
    await clock.advance(60_000)
    expect(notifier.hearsSession).toBe(true)
    expect(database.callsOf('listen_here')).toHaveLength(1)
    expect(database.callsOf('listen').length).toBeGreaterThan(5)
  })
})

describe('after a lost connection', () => {
  test("it is the new session's channel, and its watcher is told to look", async () => {
    const { clock, database, notifier, heard, watchSession, tell } = setUp()
    watchSession()
    await clock.settle()
    heard.length = 0
    database.emit('lost')
    expect(notifier.hearsSession).toBe(false)
    tell('too early')
    await clock.advance(RETRY_MS / 2)
    expect(notifier.hearsSession).toBe(true)
    expect(heard).toEqual([undefined])
    tell('of the old session', sessionChannelOf(1))
    tell('of the new one')
    expect(heard).toEqual([undefined, 'of the new one'])
  })

  test('a LISTEN that fails is tried again, at twice the distance each time, up to sixteen times', async () => {
    const { clock, database, log, notifier, watchSession, listenHere } = setUp()
    watchSession()
    await clock.settle()
    database.always('listen_here', connectionLost())
    database.emit('lost')
    await clock.advance(60_000)
    const times = database.callsOf('listen_here').map(({ sentAtMs }) => sentAtMs)
    const distances = times.slice(2).map((at, place) => at - (times[place + 1] ?? 0))
    expect(distances.slice(0, 7)).toEqual([1, 2, 4, 8, 16, 16, 16].map((factor) => factor * RETRY_MS))
    expect(log.complaints).toEqual([])
    database.always('listen_here', listenHere)
    await clock.advance(16 * RETRY_MS)
    expect(notifier.hearsSession).toBe(true)
    expect(clock.pendingTimers).toBe(0)
  })

  test('a loss at any moment of a LISTEN that fails with it is made good', async () => {
    for (let moment = 0; moment < 20; moment++) {
      const { clock, database, heard, watchSession, tell } = setUp()
      const listening = database.hold('listen_here')
      watchSession()
      await clock.settle()
      ;(await listening).fail(connectionLost())
      await microtasks(moment)
      database.emit('lost')
      await clock.advance(2 * RETRY_MS)
      heard.length = 0
      tell('now')
      expect(heard, `after ${moment} microtasks`).toEqual(['now'])
    }
  })
})

describe('it is never given up', () => {
  test('when the watch of a lease ends, or while it is being listened to', async () => {
    const { clock, database, notifier, watchSession, heard, tell } = setUp()
    const unwatch = notifier.watch('job', () => undefined)
    watchSession()
    unwatch()
    await clock.settle()
    notifier.watch('job', () => undefined)()
    await clock.settle()
    for (const { arguments: asked } of database.callsOf('unlisten')) expect(asked.names).toEqual(['job'])
    heard.length = 0
    tell('still here')
    expect(heard).toEqual(['still here'])
  })

  test('but closing ends it: nothing is heard, nor asked, any more', async () => {
    const { clock, database, notifier, heard, watchSession, tell } = setUp()
    watchSession()
    await clock.settle()
    heard.length = 0
    notifier.close()
    tell('too late')
    database.emit('lost')
    await clock.advance(60_000)
    expect(heard).toEqual([])
    expect(notifier.hearsSession).toBe(false)
    expect(database.calls).toHaveLength(1)
    expect(clock.pendingTimers).toBe(0)
  })

  // The empty name that stands for it here means nothing to the server.
  test('by an UNLISTEN, also if it is closed while its LISTEN is under way', async () => {
    const { clock, database, notifier, watchSession } = setUp()
    const listening = database.hold('listen_here')
    watchSession()
    await clock.settle()
    notifier.close()
    ;(await listening).answer({ channel: sessionChannelOf(1) })
    await clock.settle()
    expect(database.callsOf('unlisten')).toEqual([])
  })
})
