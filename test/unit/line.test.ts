import { describe, expect, test } from 'vitest'
import { Heartbeat } from '../../src/heartbeat.ts'
import { Line } from '../../src/line.ts'
import { Notifier } from '../../src/notifier.ts'
import { resolveTiming } from '../../src/timing.ts'
import { RecordingLog } from './support/recording-log.ts'
import { grantedRow, vacantRow, waitingRow } from './support/rows.ts'
import { type Answer, ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

const CHANNEL = 'elect_session_7'
/** A beat of a place comes so long after the one before, at the smallest random number. */
const BEAT_MS = 5000

const keepAll: Answer = ({ arguments: asked }) =>
  (asked.holders as string[]).map((_holder, index) => waitingRow(index + 1))

function setUp() {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, {
    listen_here: [{ channel: CHANNEL }],
    refresh_candidates: keepAll,
  })
  const { logger } = new RecordingLog()
  const parts = { clock, random: () => 0, logger }
  const heartbeat = new Heartbeat({ executor: database, ...parts })
  const notifier = new Notifier(database, { ...parts, retryIntervalMs: 500, pollIntervalMs: 1000 })
  const line = new Line(heartbeat, notifier)
  const timing = resolveTiming({ ttlMs: 15_000 })
  const woken: string[] = []
  const told: [holder: string, rank: number | null][] = []
  const expectFor = (name: string, holder: string) =>
    line.expect({
      name,
      holder,
      timing,
      wake: () => void woken.push(holder),
      stands: ({ rank }) => void told.push([holder, rank]),
    })
  const keep = (name: string, holder: string) => {
    const standing = expectFor(name, holder)
    standing.keep()
    return standing.end
  }
  const tell = (message: string, channel = CHANNEL) => database.emit('notified', channel, message)
  const refreshed = () => database.callsOf('refresh_candidates').map((call) => call.arguments.holders)
  return { clock, database, line, woken, told, expectFor, keep, tell, refreshed }
}

/** Two who wait for one lease, one who waits for another, and nobody woken yet. */
async function inLine() {
  const parts = setUp()
  parts.keep('job', 'ada')
  parts.keep('job', 'bob')
  parts.keep('other job', 'cyd')
  await parts.clock.settle()
  parts.woken.length = 0
  return parts
}

describe('what a session is told', () => {
  test('wakes the candidate that it names, and no other', async () => {
    const { woken, tell } = await inLine()
    tell(JSON.stringify({ event: 'granted', name: 'job', holder: 'bob', token: 5 }))
    expect(woken).toEqual(['bob'])
  })

  test('of a lease that nobody holds wakes those who wait for it here', async () => {
    const { woken, tell } = await inLine()
    tell(JSON.stringify({ event: 'forced', name: 'job', holder: null, token: 5 }))
    expect(woken).toEqual(['ada', 'bob'])
  })

  test.each([
    ['a candidate that does not wait here', { name: 'job', holder: 'eve' }],
    ['a lease that nobody waits for here', { name: 'no job', holder: null }],
    ['a name that is none', { name: 5 }],
    ['a holder by a word that every object has', { name: 'job', holder: 'constructor' }],
  ])('about %s wakes nobody', async (_whom, message) => {
    const { woken, tell } = await inLine()
    tell(JSON.stringify(message))
    expect(woken).toEqual([])
  })

  test.each(['', 'null', '5', '"job"', '[]', '{}', '{"name":', '\0', 'undefined', '{"holder":["ada"]}'])(
    'garbled, as %j, is harmless: at most they look',
    async (message) => {
      const { woken, tell } = await inLine()
      expect(() => tell(message)).not.toThrow()
      expect(woken).toEqual(['ada', 'bob', 'cyd'])
    },
  )

  test('wakes one that has not heard yet that it has a place: both come at once', async () => {
    const { clock, woken, tell, expectFor, refreshed } = await inLine()
    const standing = expectFor('job', 'dan')
    tell(JSON.stringify({ event: 'granted', name: 'job', holder: 'dan', token: 5 }))
    expect(woken).toEqual(['dan'])
    await clock.advance(BEAT_MS)
    expect(refreshed().flat()).not.toContain('dan')
    standing.keep()
    standing.keep()
    await clock.advance(BEAT_MS)
    expect(
      refreshed()
        .flat()
        .filter((holder) => holder === 'dan'),
    ).toHaveLength(1)
    standing.end()
    tell(JSON.stringify({ event: 'granted', name: 'job', holder: 'dan', token: 6 }))
    expect(woken).toEqual(['dan'])
  })

  test('on the channel of another session wakes nobody', async () => {
    const { woken, tell } = await inLine()
    tell(JSON.stringify({ name: 'job', holder: 'ada' }), 'elect_session_77')
    tell('', 'channel of job')
    expect(woken).toEqual([])
  })
})

describe('listening', () => {
  test('begins with the first place, and once: a process without candidates needs none', async () => {
    const { clock, database, line, keep } = setUp()
    await clock.advance(1000)
    expect(database.calls).toEqual([])
    expect(line.isHeard).toBe(false)
    keep('job', 'ada')()
    keep('job', 'bob')
    await clock.settle()
    expect(database.callsOf('listen_here')).toHaveLength(1)
    expect(database.callsOf('listen')).toEqual([])
    expect(line.isHeard).toBe(true)
  })

  test('once it is in force has all look: what was told before that is lost', async () => {
    const { clock, woken, keep } = setUp()
    keep('job', 'ada')
    keep('other job', 'cyd')
    expect(woken).toEqual([])
    await clock.settle()
    expect(woken).toEqual(['ada', 'cyd'])
  })

  test('that begins again has all look once more', async () => {
    const { clock, database, line, woken } = await inLine()
    database.emit('lost')
    expect(line.isHeard).toBe(false)
    await clock.settle()
    expect(line.isHeard).toBe(true)
    expect(woken).toEqual(['ada', 'bob', 'cyd'])
  })
})

describe('a place', () => {
  test('is kept by the heartbeat, all of them by one statement', async () => {
    const { clock, database, refreshed } = await inLine()
    await clock.advance(2 * BEAT_MS)
    expect(refreshed()).toEqual([
      ['ada', 'bob', 'cyd'],
      ['ada', 'bob', 'cyd'],
    ])
    expect(database.callsOf('refresh_candidates')[0]?.arguments.names).toEqual(['job', 'job', 'other job'])
  })

  test.each([
    ['was granted the lease, and the word of it was lost', { ...grantedRow(5, 'bob'), rank: 2 }],
    ['has no place any more', { ...waitingRow(0), rank: null }],
    ['stands before a lease that nobody holds, without a place', vacantRow()],
  ])('wakes a candidate that %s', async (_what, row) => {
    const { clock, database, woken, told } = await inLine()
    database.next('refresh_candidates', [waitingRow(3), row, waitingRow(0)])
    await clock.advance(BEAT_MS)
    expect(woken).toEqual(['bob'])
    // The others are told how they stand, and see for themselves.
    expect(told).toEqual([
      ['ada', 3],
      ['cyd', 0],
    ])
  })

  test('that is given up is neither refreshed nor woken, and the others are', async () => {
    const { clock, keep, woken, tell, refreshed } = await inLine()
    const giveUp = keep('job', 'dan')
    giveUp()
    giveUp()
    await clock.settle()
    tell(JSON.stringify({ name: 'job', holder: 'dan' }))
    expect(woken).toEqual([])
    tell(JSON.stringify({ name: 'job', holder: null }))
    expect(woken).toEqual(['ada', 'bob'])
    await clock.advance(BEAT_MS)
    expect(refreshed()).toEqual([['ada', 'bob', 'cyd']])
  })

  test('that is given up late leaves the next one of its candidate alone', async () => {
    const { clock, keep, woken, tell } = await inLine()
    const giveUp = keep('job', 'dan')
    keep('job', 'dan')
    giveUp()
    await clock.settle()
    tell(JSON.stringify({ name: 'job', holder: 'dan' }))
    expect(woken).toEqual(['dan'])
  })

  // A loss is noticed by a beat at the latest, which comes soon after it: whoever would sleep on must learn that it is deaf.
  test('wakes its candidate at a beat while no hand-off would be heard', async () => {
    const { clock, database, line, woken } = await inLine()
    database.always('listen_here', new Error('no LISTEN here'))
    database.emit('lost')
    await clock.advance(BEAT_MS)
    expect(line.isHeard).toBe(false)
    expect(woken).toEqual(['ada', 'bob', 'cyd'])
  })
})
