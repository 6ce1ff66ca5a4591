import { describe, expect, onTestFinished, test } from 'vitest'
import {
  ClosedError,
  type Lease,
  type PgElect,
  type PgElectOptions,
  ResignedError,
} from '../../../../src/index.ts'
import { aborted, openClient } from '../clients.ts'
import { type BadCall, countOf, endSessions, expectRefusal, until, useScene } from './support.ts'

const scene = useScene()

/** What the workers of all members do, in the order in which they do it. */
class Journal {
  readonly lines: string[] = []
  /** Which members work at each partition now. */
  readonly working = new Map<number, string[]>()
  readonly starts = new Map<number, number>()
  /** Partitions that were worked at by two at once. */
  readonly overlaps: string[] = []

  begin(member: string, partition: number): void {
    const now = this.working.get(partition) ?? []
    if (now.length > 0) this.overlaps.push(`${partition}: ${now} and ${member}`)
    this.working.set(partition, [...now, member])
    this.starts.set(partition, (this.starts.get(partition) ?? 0) + 1)
    this.lines.push(`${member} begins ${partition}`)
  }

  end(member: string, partition: number): void {
    this.working.set(
      partition,
      (this.working.get(partition) ?? []).filter((other) => other !== member),
    )
    this.lines.push(`${member} ends ${partition}`)
  }

  /** How many partitions each member works at. */
  shares(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const member of [...this.working.values()].flat()) counts[member] = (counts[member] ?? 0) + 1
    return counts
  }

  /** How often work was begun. */
  get begun(): number {
    return [...this.starts.values()].reduce((sum, count) => sum + count, 0)
  }
}

interface Running {
  readonly client: PgElect
  readonly log: ReturnType<typeof openClient>['log']
  /** Stops it, and resolves once it has ended. */
  readonly stop: () => Promise<unknown>
  /** With what it ended. */
  readonly ended: Promise<unknown>
}

/** Runs a member whose work goes on until it is told to stop. */
function runMember(
  journal: Journal,
  name: string,
  member: string,
  { count, ...options }: PgElectOptions & { count: number },
  work?: (partition: number, lease: Lease) => Promise<void>,
): Running {
  // So long that nothing is put right by a timer: whatever is not told of shows as a test that hangs.
  const { client, log } = openClient(scene.database, { ttlMs: 300_000, ...options })
  const stop = new AbortController()
  const running = client.partitions(name, { count }).run(
    async (partition, lease) => {
      journal.begin(member, partition)
      try {
        await (work?.(partition, lease) ?? aborted(lease.signal))
      } finally {
        journal.end(member, partition)
      }
    },
    { signal: stop.signal, metadata: { member } },
  )
  const ended = running.catch((error: unknown) => error)
  const end = () => {
    stop.abort(new Error('stopped'))
    return ended
  }
  onTestFinished(async () => void (await end()))
  return { client, log, stop: end, ended }
}

const whenShared = (journal: Journal, shares: Record<string, number>) =>
  until(async () => {
    // Gives way to those who work.
    await scene.session.query('SELECT')
    return (
      JSON.stringify(Object.entries(journal.shares()).sort()) ===
      JSON.stringify(Object.entries(shares).sort())
    )
  })

describe('partitions', () => {
  test('one member has them all; a second gets half, with no move more than it takes', async () => {
    const journal = new Journal()
    const a = runMember(journal, 'two', 'a', { count: 6 })
    await whenShared(journal, { a: 6 })
    expect(journal.begun).toBe(6)
    const b = runMember(journal, 'two', 'b', { count: 6 })
    await whenShared(journal, { a: 3, b: 3 })
    expect(journal.begun).toBe(9)
    expect(journal.overlaps).toEqual([])
    expect(await a.client.group('two').members()).toMatchObject([
      { metadata: { member: 'a' } },
      { metadata: { member: 'b' } },
    ])
    expect(await a.client.get('two/0')).toMatchObject({ metadata: { member: 'a' } })

    expect(await a.stop()).toMatchObject({ message: 'stopped' })
    await whenShared(journal, { b: 6 })
    expect(journal.begun).toBe(12)
    expect(await b.client.group('two').members()).toMatchObject([{ metadata: { member: 'b' } }])
    await b.stop()
    expect(journal.shares()).toEqual({})
    expect(await countOf(scene.session, 'two')).toEqual({ waiting: 0, shares: 0 })
    const { rows } = await scene.session.query(`SELECT FROM elect.current_leases WHERE name LIKE 'two/%'`)
    expect(rows).toEqual([])
  })

  test('are spread evenly over several, some of whom have none', async () => {
    const journal = new Journal()
    const members = ['a', 'b', 'c'].map((name) => runMember(journal, 'several', name, { count: 7 }))
    await until(async () => {
      await scene.session.query('SELECT')
      return Object.values(journal.shares()).sort().join() === '2,2,3'
    })
    for (const member of members.slice(1)) await member.stop()
    await whenShared(journal, { a: 7 })
    expect(journal.overlaps).toEqual([])

    const few = new Journal()
    const [one, two] = ['a', 'b'].map((name) => runMember(few, 'few', name, { count: 1 }))
    await until(async () => (await one?.client.group('few').members())?.length === 2)
    await until(async () => (await scene.session.query('SELECT')) && Object.keys(few.shares()).length === 1)
    const [owner, idle] = few.shares().a === 1 ? [one, two] : [two, one]
    await owner?.stop()
    await whenShared(few, { [owner === one ? 'b' : 'a']: 1 })
    await idle?.stop()
    expect(few.overlaps).toEqual([])
  })

  test('members that start at once come to an even spread, by what they tell each other alone', async () => {
    const clients = [0, 1, 2].map(() => openClient(scene.database, { ttlMs: 300_000 }).client)
    for (let round = 0; round < 40; round++) {
      const stop = new AbortController()
      const owned = [0, 0, 0]
      const work = async (member: number, { signal }: Lease) => {
        owned[member] = (owned[member] ?? 0) + 1
        await aborted(signal)
        owned[member] -= 1
      }
      const runs = clients.map((client, member) =>
        client
          .partitions(`round ${round}`, { count: 7 })
          .run((_, lease) => work(member, lease), { signal: stop.signal })
          .catch((error: unknown) => error),
      )
      await until(async () => {
        await scene.session.query('SELECT')
        return [...owned].sort().join() === '2,2,3'
      })
      stop.abort(new Error('stopped'))
      for (const ended of await Promise.all(runs)) expect(ended).toMatchObject({ message: 'stopped' })
    }
  })

  test('a partition moves only once its work has settled', async () => {
    const journal = new Journal()
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const reasons: unknown[] = []
    const slow = async (_partition: number, { signal }: Lease) => {
      reasons.push(await aborted(signal))
      journal.lines.push('asked')
      await held
    }
    const a = runMember(journal, 'slow', 'a', { count: 2, drainTimeoutMs: 20_000 }, slow)
    await whenShared(journal, { a: 2 })
    const b = runMember(journal, 'slow', 'b', { count: 2 })
    await until(async () => (await scene.session.query('SELECT')) && journal.lines.includes('asked'))
    // Asked to stop, and renewed while it settles: the other one has to wait.
    await until(async () => (await b.client.group('slow').members()).length === 2)
    expect(journal.shares()).toEqual({ a: 2 })
    letGo()
    await whenShared(journal, { a: 1, b: 1 })
    expect(reasons).toEqual([expect.any(ResignedError)])
    expect(journal.lines.slice(2).map((line) => line.replace(/\d/, 'n'))).toEqual([
      'asked',
      'a ends n',
      'b begins n',
    ])
    await Promise.all([a.stop(), b.stop()])
    expect(journal.overlaps).toEqual([])
  })

  test('work that does not stop in time is never run beside itself', async () => {
    const journal = new Journal()
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const options = { count: 1, renewIntervalMs: 50, drainTimeoutMs: 0 }
    const a = runMember(journal, 'deaf', 'a', options, () => held)
    await whenShared(journal, { a: 1 })
    await scene.session.query(`SELECT elect.force_release('deaf/0', 'a test')`)
    await a.log.logged('the work has not stopped in time: its lease is left to expire')
    // It looks, finds the partition free, and could ask for it before the last of these is answered.
    await scene.session.query(`SELECT pg_notify(elect.lease_channel('deaf'), '')`)
    for (let look = 0; look < 10; look++) await a.client.group('deaf').members()
    expect(journal.begun).toBe(1)
    letGo()
    await until(async () => (await scene.session.query('SELECT')) && journal.begun === 2)
    expect(journal.overlaps).toEqual([])
    await a.stop()
  })

  test('those of a member that is gone without a word are taken over when they run out', async () => {
    const journal = new Journal()
    await scene.session.query(
      `SELECT elect.acquire_share('gone', 'dead', ttl => '700 milliseconds'),
              elect.acquire_lease('gone/' || n, 'dead', ttl => '700 milliseconds') FROM generate_series(0, 3) AS n`,
    )
    const a = runMember(journal, 'gone', 'a', { count: 4 })
    await whenShared(journal, { a: 4 })
    expect(journal.begun).toBe(4)
    await a.stop()
  })

  test('a partition that an operator takes away is stopped, and run again', async () => {
    const journal = new Journal()
    const a = runMember(journal, 'taken', 'a', { count: 2, renewIntervalMs: 50 })
    await whenShared(journal, { a: 2 })
    await scene.session.query(`SELECT elect.force_release('taken/1', 'a test')`)
    await until(async () => (await scene.session.query('SELECT')) && journal.starts.get(1) === 2)
    await whenShared(journal, { a: 2 })
    expect([journal.starts.get(0), journal.overlaps]).toEqual([1, []])
    await a.stop()
  })

  test('what was lost here but not yet in the database is taken anew, under a new token, once its work has settled', async () => {
    const journal = new Journal()
    const tokens: number[] = []
    const timing = { ttlMs: 10_000, safetyMarginMs: 9_000, renewIntervalMs: 300, drainTimeoutMs: 5_000 }
    const a = runMember(journal, 'blocked', 'a', { count: 3, ...timing }, async (_, { signal, token }) => {
      tokens.push(token)
      await aborted(signal)
      // Has not settled at once.
      await scene.session.query('SELECT')
    })
    await whenShared(journal, { a: 3 })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100)
    await until(async () => (await scene.session.query('SELECT')) && journal.begun === 6)
    await whenShared(journal, { a: 3 })
    expect(journal.overlaps).toEqual([])
    expect(Math.min(...tokens.slice(3))).toBeGreaterThan(Math.max(...tokens.slice(0, 3)))
    expect(await a.client.group('blocked').members()).toHaveLength(1)
    await a.stop()
  })

  test('a member that is taken out of the group joins again, and keeps what it has', async () => {
    const journal = new Journal()
    const a = runMember(journal, 'rejoins', 'a', { count: 3, renewIntervalMs: 50 })
    await whenShared(journal, { a: 3 })
    const [before] = await a.client.group('rejoins').members()
    await scene.session.query(`SELECT elect.force_release(lease, 'a test') FROM elect.get_shares('rejoins')`)
    await until(async () => {
      const [now] = await a.client.group('rejoins').members()
      return now !== undefined && now.token !== before?.token && now.holder === before?.holder
    })
    expect(journal.begun).toBe(3)
    await a.stop()
  })

  test('a lost connection moves nothing', async () => {
    const journal = new Journal()
    const options = { count: 4, ttlMs: 10_000, retryIntervalMs: 20 }
    const [a, b] = ['a', 'b'].map((name) => runMember(journal, 'connection', name, options))
    await whenShared(journal, { a: 2, b: 2 })
    const { begun } = journal
    await endSessions(scene.session)
    await Promise.all([a, b].map((member) => member?.log.logged('lost a connection to the database')))
    // Both have renewed on a new connection before one of them goes.
    await until(async () => {
      const { rows } = await scene.session.query<{ ms: number }>(
        `SELECT extract(epoch FROM min(expires_in))::float8 * 1000 AS ms FROM elect.get_assignment('connection', 4, 'nobody')`,
      )
      return (rows[0]?.ms ?? 0) > 9_000
    })
    expect(journal.begun).toBe(begun)
    await a?.stop()
    await whenShared(journal, { b: 4 })
    expect([journal.begun, journal.overlaps]).toEqual([begun + 2, []])
    await b?.stop()
  })

  test('work that fails by itself ends the run with what it threw, and gives all back', async () => {
    const journal = new Journal()
    const fail = async (partition: number, { signal }: Lease) => {
      if (partition === 1) {
        await until(async () => (await scene.session.query('SELECT')) && journal.shares().a === 3)
        throw new TypeError('mine')
      }
      await aborted(signal)
    }
    const a = runMember(journal, 'fails', 'a', { count: 3 }, fail)
    expect(await a.ended).toEqual(new TypeError('mine'))
    expect(journal.shares()).toEqual({})
    expect(await countOf(scene.session, 'fails')).toEqual({ waiting: 0, shares: 0 })
    expect(await a.client.get('fails/0')).toBeNull()
  })

  test('work that returns by itself keeps its partition, and is not run again', async () => {
    const journal = new Journal()
    const a = runMember(journal, 'returns', 'a', { count: 2 }, async () => undefined)
    await until(async () => (await scene.session.query('SELECT')) && journal.begun === 2)
    const b = runMember(journal, 'returns', 'b', { count: 2 }, async () => undefined)
    await until(async () => (await scene.session.query('SELECT')) && journal.begun === 3)
    const held = await Promise.all([a.client.get('returns/0'), a.client.get('returns/1')])
    expect(held.map((lease) => lease?.metadata?.member).sort()).toEqual(['a', 'b'])
    await Promise.all([a.stop(), b.stop()])
    expect(journal.begun).toBe(3)
  })

  test('closing the client drains all work and releases', async () => {
    const journal = new Journal()
    const a = runMember(journal, 'closed', 'a', { count: 3 })
    const b = runMember(journal, 'closed', 'b', { count: 3 })
    await until(
      async () =>
        (await scene.session.query('SELECT')) && Object.values(journal.shares()).sort().join() === '1,2',
    )
    await a.client.close()
    expect(await a.ended).toBeInstanceOf(ClosedError)
    expect(journal.shares().a).toBeUndefined()
    await whenShared(journal, { b: 3 })
    expect(journal.overlaps).toEqual([])
    await b.stop()
  })

  test('no partition ever has two owners while members come and go, and all are worked at in the end', async () => {
    const journal = new Journal()
    const names = ['a', 'b', 'c', 'd']
    const running = new Map<string, Running>()
    const start = (name: string) => running.set(name, runMember(journal, 'churn', name, { count: 8 }))
    const halt = async (name: string) => {
      await running.get(name)?.stop()
      running.delete(name)
    }
    for (const name of names) start(name)
    await Promise.all([halt('a'), halt('b')])
    start('a')
    await halt('c')
    start('b')
    start('c')
    await halt('d')
    await until(async () => {
      await scene.session.query('SELECT')
      return Object.values(journal.shares()).sort().join() === '2,3,3'
    })
    expect(journal.overlaps).toEqual([])
    await Promise.all([...running.keys()].map(halt))
  })

  test.each<BadCall>([
    ['no count', (c) => c.partitions('x', {} as never), /^Invalid count: .*, got undefined$/],
    ['a count of zero', (c) => c.partitions('x', { count: 0 }), /from 1 to 100000, got 0$/],
    ['an unknown option', (c) => c.partitions('x', { count: 1, size: 5 } as never), /^Unknown option "size"/],
    ['work that is none', (c) => c.partitions('x', { count: 1 }).run(5 as never), /^Invalid work/],
    [
      'an unknown option of a run',
      (c) => c.partitions('x', { count: 1 }).run(async () => {}, { a: 5 } as never),
      /^Unknown option "a"/,
    ],
    [
      'a signal that is none',
      (c) => c.partitions('x', { count: 1 }).run(async () => {}, { signal: 5 as never }),
      /^Invalid signal/,
    ],
    [
      'bad metadata',
      (c) => c.partitions('x', { count: 1 }).run(async () => {}, { metadata: 5 as never }),
      /^Invalid metadata/,
    ],
  ])('refuses %s', async (_, call, message) => {
    await expectRefusal(openClient(scene.database).client, call, message)
  })
})
