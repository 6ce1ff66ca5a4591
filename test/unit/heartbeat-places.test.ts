import { describe, expect, test } from 'vitest'
import { Heartbeat, type Refreshable, type Renewable } from '../../src/heartbeat.ts'
import type { Candidacy, Executor, LeaseAnswer } from '../../src/queries.ts'
import { resolveTiming, type TimingOptions } from '../../src/timing.ts'
import { connectionLost } from './support/pg-errors.ts'
import { RecordingLog } from './support/recording-log.ts'
import { busyRow, grantedRow, refusedRow, vacantRow, waitingRow } from './support/rows.ts'
import { type Answer, NEVER, ScriptedDatabase } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'

/** Beats 5 s apart, retries 450 ms apart, at the smallest random number. */
const TTL_MS = 15_000
const BEAT_MS = 5000
const RETRY_MS = 450

const renewAll: Answer = ({ arguments: asked }) =>
  (asked.tokens as number[]).map((token) => grantedRow(token))
const keepAll: Answer = ({ arguments: asked }) =>
  (asked.holders as string[]).map((_holder, index) => waitingRow(index))

interface StubLease extends Renewable {
  readonly answers: (LeaseAnswer | 'extended')[]
}

interface StubPlace extends Refreshable {
  readonly told: Candidacy[]
}

function setUp() {
  const clock = new StubClock()
  const database = new ScriptedDatabase(clock, { renew_leases: renewAll, refresh_candidates: keepAll })
  database.keepsTimeouts = false
  const log = new RecordingLog()
  const heartbeat = new Heartbeat({ executor: database, clock, random: () => 0, logger: log.logger })
  let lastToken = 0
  const lease = (name: string, timing: TimingOptions = { ttlMs: TTL_MS }): StubLease => {
    lastToken += 1
    const answers: StubLease['answers'] = []
    return {
      name,
      token: lastToken,
      timing: resolveTiming(timing),
      answers,
      extended: () => void answers.push('extended'),
      refused: (answer) => void answers.push(answer),
    }
  }
  const place = (holder: string, timing: TimingOptions = { ttlMs: TTL_MS }): StubPlace => {
    const told: Candidacy[] = []
    return {
      name: 'job',
      holder,
      timing: resolveTiming(timing),
      told,
      stands: (candidacy) => void told.push(candidacy),
    }
  }
  const add = (...all: (Renewable | Refreshable)[]) => {
    for (const one of all) heartbeat.add(one)
  }
  /** What was asked in each statement. */
  const statements = () => {
    const asked = new Map<number, string[]>()
    for (const { name, statement } of database.calls) {
      asked.set(statement, [...(asked.get(statement) ?? []), name])
    }
    return [...asked.values()]
  }
  const refreshTimes = () => database.callsOf('refresh_candidates').map(({ sentAtMs }) => sentAtMs)
  return { clock, database, log, heartbeat, lease, place, add, statements, refreshTimes }
}

describe('a beat', () => {
  test('renews leases and refreshes places by one statement', async () => {
    const { clock, lease, place, add, statements, database } = setUp()
    const [one, two] = [lease('one'), lease('two')]
    const [ada, bob] = [place('ada'), place('bob')]
    add(ada, one, bob, two)
    await clock.advance(BEAT_MS)
    expect(statements()).toEqual([['renew_leases', 'refresh_candidates']])
    expect(database.calls).toMatchObject([
      { arguments: { names: ['one', 'two'], tokens: [1, 2] } },
      { arguments: { names: ['job', 'job'], holders: ['ada', 'bob'] } },
    ])
    expect([one, two].map(({ answers }) => answers)).toEqual([['extended'], ['extended']])
    expect([ada, bob].map(({ told }) => told.map(({ rank }) => rank))).toEqual([[0], [1]])
  })

  test('asks nothing about places where there are none, nor about leases', async () => {
    const { clock, lease, place, add, heartbeat, statements } = setUp()
    const [one, ada] = [lease('one'), place('ada')]
    add(one)
    await clock.advance(BEAT_MS)
    heartbeat.remove(one)
    add(ada)
    await clock.advance(BEAT_MS)
    expect(statements()).toEqual([['renew_leases'], ['refresh_candidates']])
    expect(ada.told).toHaveLength(1)
  })

  test('tells each its own answer, in the order of the requests', async () => {
    const { clock, database, lease, place, add } = setUp()
    const leases = [lease('lost'), lease('busy'), lease('kept')]
    const places = [place('ada'), place('bob'), place('cyd')]
    add(...leases, ...places)
    database.next('renew_leases', [refusedRow('usurper'), busyRow(), grantedRow(3)])
    database.next('refresh_candidates', [waitingRow(2), grantedRow(9, 'bob'), vacantRow()])
    await clock.advance(BEAT_MS)
    expect(leases.map(({ answers }) => answers)).toMatchObject([[{ holder: 'usurper' }], [], ['extended']])
    expect(places.map(({ told }) => told)).toMatchObject([
      [{ granted: false, holder: 'other', rank: 2 }],
      [{ granted: true, holder: 'bob', token: 9, lease: 'job', rank: null }],
      [{ granted: false, holder: null, rank: null }],
    ])
  })

  test('refreshes a place once an interval, until it is given up', async () => {
    const { clock, heartbeat, place, refreshTimes } = setUp()
    const ada = place('ada')
    heartbeat.add(ada)
    await clock.advance(3 * BEAT_MS)
    expect(refreshTimes()).toEqual([5000, 10_000, 15_000])
    heartbeat.remove(ada)
    expect(clock.pendingTimers).toBe(0)
  })

  test('may stay unanswered for as long as the least patient of both kinds allows', async () => {
    const { clock, database, lease, place, add } = setUp()
    add(lease('one', { ttlMs: TTL_MS, queryTimeoutMs: 2000 }))
    add(place('ada', { ttlMs: TTL_MS, queryTimeoutMs: 700 }))
    await clock.advance(BEAT_MS)
    expect(database.calls.map(({ timeoutMs }) => timeoutMs)).toEqual([700, 700])
  })

  test('comes sooner where something is added that is short of time, and takes the others along if they are nearly due', async () => {
    const { clock, heartbeat, lease, place, statements, add } = setUp()
    add(place('ada'))
    heartbeat.add(lease('handed over'), 333)
    await clock.advance(332)
    expect(statements()).toEqual([])
    await clock.advance(1)
    expect(statements()).toEqual([['renew_leases']])
    heartbeat.add(lease('handed over, too'), 2500)
    await clock.advance(2500)
    expect(statements()).toEqual([['renew_leases'], ['renew_leases', 'refresh_candidates']])
  })

  test('makes nothing later that is added with more time than its interval', async () => {
    const { clock, heartbeat, lease, statements } = setUp()
    heartbeat.add(lease('one'), 60_000)
    await clock.advance(BEAT_MS)
    expect(statements()).toHaveLength(1)
  })

  test('that fails is tried again soon, for both kinds and by one statement', async () => {
    const { clock, database, lease, place, log, add, statements, refreshTimes } = setUp()
    const [one, ada] = [lease('one'), place('ada')]
    add(one, ada)
    database.next('refresh_candidates', connectionLost(), connectionLost())
    await clock.advance(BEAT_MS + 2 * RETRY_MS)
    expect(statements()).toEqual(Array.from({ length: 3 }, () => ['renew_leases', 'refresh_candidates']))
    expect(refreshTimes()).toEqual([5000, 5450, 5900])
    expect(one.answers).toEqual(['extended'])
    expect(ada.told).toHaveLength(1)
    expect(log.messages('warn')).toHaveLength(2)
  })

  test('that lacks the answer about a place asks for it again soon, not at once and again', async () => {
    const { clock, database, place, add, refreshTimes } = setUp()
    const [ada, bob] = [place('ada'), place('bob')]
    add(ada, bob)
    database.next('refresh_candidates', [waitingRow(0)], [])
    await clock.advance(BEAT_MS + 2 * RETRY_MS)
    expect(refreshTimes()).toEqual([5000, 5450, 5900])
    expect([ada.told.length, bob.told.length]).toEqual([1, 1])
  })

  test('that is hurried refreshes places, too: the session that they were kept by is gone', async () => {
    const { clock, heartbeat, place, add, refreshTimes } = setUp()
    add(place('ada'))
    await clock.advance(100)
    heartbeat.hurry()
    await clock.settle()
    await clock.advance(0)
    expect(refreshTimes()).toEqual([100])
  })

  test('is never two at once', async () => {
    const { clock, database, heartbeat, place, add } = setUp()
    add(place('ada'))
    database.always('refresh_candidates', NEVER)
    await clock.advance(BEAT_MS)
    add(place('bob'))
    heartbeat.hurry()
    await clock.advance(60_000)
    expect(database.callsOf('refresh_candidates')).toHaveLength(1)
  })

  test('out of turn renews one lease and leaves places alone', async () => {
    const { heartbeat, lease, place, add, statements } = setUp()
    const one = lease('one')
    add(one, place('ada'))
    await heartbeat.renewNow(one)
    expect(statements()).toEqual([['renew_leases']])
  })
})

describe('a place that was given up', () => {
  test.each<[string, object | Error]>([
    ['it still waits', waitingRow(1)],
    ['it was granted the lease', grantedRow(9, 'ada')],
    ['it has no place', vacantRow()],
    ['nothing, by an error', connectionLost()],
  ])(
    'meanwhile does not come back, and hears nothing, when the answer says that %s',
    async (_what, answer) => {
      const { clock, database, heartbeat, place, add, refreshTimes } = setUp()
      const ada = place('ada')
      add(ada)
      const refreshing = database.hold('refresh_candidates')
      await clock.advance(BEAT_MS)
      heartbeat.remove(ada)
      if (answer instanceof Error) (await refreshing).fail(answer)
      else (await refreshing).answer(answer)
      await clock.advance(60_000)
      expect(ada.told).toEqual([])
      expect(refreshTimes()).toHaveLength(1)
      expect(clock.pendingTimers).toBe(0)
    },
  )

  test('by what another one of its beat was told hears nothing, either', async () => {
    const { clock, heartbeat, place, add } = setUp()
    const bob = place('bob')
    const ada = { ...place('ada'), stands: () => heartbeat.remove(bob) }
    add(ada, bob)
    await clock.advance(BEAT_MS)
    expect(bob.told).toEqual([])
  })

  test('as it was told how it stands does not come back', async () => {
    const { clock, heartbeat, place, refreshTimes } = setUp()
    const ada: Refreshable = { ...place('ada'), stands: () => heartbeat.remove(ada) }
    heartbeat.add(ada)
    await clock.advance(60_000)
    expect(refreshTimes()).toEqual([BEAT_MS])
    expect(clock.pendingTimers).toBe(0)
  })
})

describe('a refresh', () => {
  test('is asked by way of what its place says, unless leases are renewed with it', async () => {
    const { clock, database, lease, place, add } = setUp()
    const asked: string[] = []
    const askingBy = (executor: Executor): Executor => ({
      execute: (query, options) => {
        asked.push(query.sql)
        return executor.execute(query, options)
      },
    })
    add({ ...place('ada'), askingBy }, { ...place('bob'), askingBy })
    await clock.advance(BEAT_MS)
    expect(asked).toEqual([database.calls[0]?.sql])
    add(lease('job'))
    await clock.advance(BEAT_MS)
    expect(database.callsOf('refresh_candidates')).toHaveLength(2)
    expect(database.callsOf('renew_leases')).toHaveLength(1)
    expect(asked).toHaveLength(1)
  })
})
