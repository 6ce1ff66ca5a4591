import type pg from 'pg'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { acquireAll, grantAllTo } from './batches.ts'
import {
  acquire,
  failureOf,
  grantTo,
  guard,
  inTransaction,
  oneRow,
  release,
  rowsOf,
  scalar,
  sqlStateOf,
  stored,
  untilExpired,
  useDatabase,
} from './leases.ts'
import { standAll } from './line.ts'
import { Listener } from './listener.ts'

const database = useDatabase()
let one: pg.Client
let other: pg.Client
let round = 0

beforeAll(async () => {
  one = await database.connect()
  other = await database.connect()
})

beforeEach(() => {
  round += 1
})

/** A name that no other test has. */
const named = (name: string) => `${name}, ${round}`

async function hear() {
  const client = await database.connect()
  const listen = async (...channels: string[]) => {
    for (const channel of channels) await client.query(`LISTEN ${channel}`)
  }
  return { listener: new Listener(client), listen }
}

const nobody = { granted: false, holder: null, token: null, version: null, metadata: null, rank: null }

describe('many leases in one call', () => {
  test('new names: all are granted, in the order asked for, each with what was asked', async () => {
    const asked = ['c', 'a', 'b'].map((name, place) => ({
      name: named(name),
      holder: `holder ${place}`,
      ttl: `${place + 1} minutes`,
      metadata: place === 1 ? { place } : undefined,
    }))
    const answers = await acquireAll(one, asked)
    expect(answers).toEqual(
      asked.map(({ name, holder, metadata }, place) => ({
        name,
        granted: true,
        holder,
        token: expect.any(Number),
        version: answers[place]?.token,
        metadata: metadata ?? null,
        expiresInMs: (place + 1) * 60_000,
        rank: null,
      })),
    )
    expect(await stored(one, named('c'))).toMatchObject({
      holder: 'holder 0',
      given: '00:01:00',
      ttl: '00:01:00',
    })
  })

  test('vacant ones: the token grows, the version goes up by one, nothing is left of the last holder', async () => {
    const names = ['a', 'b'].map(named)
    const [first = 0, second = 0] = await grantAllTo(one, names, 'ada')
    for (const [place, token] of [first, second].entries()) await release(one, names[place] as string, token)
    const answers = await acquireAll(
      one,
      names.map((name) => ({ name, holder: 'bob' })),
    )
    expect(answers.map(({ granted, holder, version }) => [granted, holder, version])).toEqual([
      [true, 'bob', first + 2],
      [true, 'bob', second + 2],
    ])
    expect(answers[0]?.token).toBeGreaterThan(first)
    expect(answers[1]?.token).toBeGreaterThan(second)
  })

  test('vacant ones in any order: each holder gets what it asked for, and the answer is what is stored', async () => {
    const names = ['a', 'b', 'c', 'd'].map(named)
    for (const name of names) await release(one, name, await grantTo(one, name, 'ada'))
    const asked = [2, 0, 3, 1].map((place, at) => ({
      name: names[place] as string,
      holder: `holder ${place}`,
      ttl: `${place + 1} minutes`,
      metadata: at === 1 ? { place } : undefined,
    }))
    for (const answer of await acquireAll(one, asked)) {
      const { name, holder, ttl, metadata } = asked.find(
        (those) => those.name === answer.name,
      ) as (typeof asked)[0]
      const text = `SELECT holder, token::float8, version::float8, metadata, $2::interval = ttl AS has_ttl,
        expires_at - acquired_at = ttl AS expires_then FROM elect.leases WHERE name = $1`
      expect(answer).toMatchObject({ granted: true, holder, metadata: metadata ?? null })
      expect(await oneRow(one, text, [name, ttl])).toEqual({
        holder,
        token: answer.token,
        version: answer.version,
        metadata: metadata ?? null,
        has_ttl: true,
        expires_then: true,
      })
    }
  })

  test.each<[shape: string, literal: (values: string[]) => string]>([
    ['do not count from one', (values) => `[0:1]={${values.join(',')}}`],
    ['have two dimensions', (values) => `{${values.map((value) => `{${value}}`).join(',')}}`],
  ])('arrays that %s are read element by element', async (_shape, literalOf) => {
    const names = ['a', 'b'].map(named)
    for (const name of names) await release(one, name, await grantTo(one, name, 'ada'))
    const literal = (...values: string[]) => literalOf(values.map((value) => JSON.stringify(value)))
    const text = 'SELECT name, granted, holder FROM elect.acquire_leases($1, $2, $3)'
    for (const shaped of [names, literal(...names)]) {
      const values = [shaped, literal('x', 'y'), literal('1 min', '2 min')]
      expect(await rowsOf(one, text, values)).toEqual([
        { name: names[0], granted: true, holder: 'x' },
        { name: names[1], granted: true, holder: 'y' },
      ])
    }
    const stands = await Promise.all(names.map((name) => stored(one, name)))
    expect(stands.map(({ holder }) => holder)).toEqual(['x', 'y'])
  })

  test('a ttl that is null spoils the call, also where all are vacant', async () => {
    const names = ['a', 'b'].map(named)
    for (const name of names) await release(one, name, await grantTo(one, name, 'ada'))
    const text = "SELECT FROM elect.acquire_leases($1, '{x,y}', ARRAY['1 min', null]::interval[])"
    expect((await failureOf(one.query(text, [names]))).message).toMatch(/^Invalid ttl: .* got null$/)
    expect((await stored(one, names[0] as string)).holder).toBeNull()
  })

  test('each is decided for itself: some are refused and others not', async () => {
    const asked = ['new', 'held', 'expired', 'own', 'released'].map((name) => ({
      name: named(name),
      holder: 'bob',
    }))
    await grantTo(one, named('held'), 'ada', '1 hour')
    await grantTo(one, named('expired'), 'ada', '100 milliseconds')
    const own = await grantTo(one, named('own'), 'bob', '1 minute')
    await release(one, named('released'), await grantTo(one, named('released'), 'ada'))
    await untilExpired(one, named('expired'))
    const answers = await acquireAll(one, asked)
    expect(answers.map(({ granted, holder }) => [granted, holder])).toEqual([
      [true, 'bob'],
      [false, 'ada'],
      [true, 'bob'],
      [true, 'bob'],
      [true, 'bob'],
    ])
    expect(answers[3]).toMatchObject({ token: own, version: own + 1 })
    expect(answers[1]?.expiresInMs).toBeGreaterThan(3_599_000)
  })

  test('nothing asked for, nothing granted', async () => {
    expect(await acquireAll(one, [])).toEqual([])
  })

  test('days are hours, as in the answer', async () => {
    await one.query("SET TimeZone = 'Europe/Berlin'")
    const [answer] = await acquireAll(one, [{ name: named('day'), holder: 'ada', ttl: '1 day' }])
    expect(answer?.expiresInMs).toBe(86_400_000)
    expect((await stored(one, named('day'))).ttl).toBe('24:00:00')
    await one.query('RESET TimeZone')
  })

  test('500 at once, twice', async () => {
    const names = Array.from({ length: 500 }, (_, index) => `${named('many')} ${(index * 7919) % 500}`)
    const tokens = await grantAllTo(one, names, 'ada')
    for (const [place, name] of names.entries()) {
      if (place % 50 === 0) expect((await stored(one, name)).token).toBe(tokens[place])
    }
    const again = await acquireAll(
      other,
      names.map((name) => ({ name, holder: 'bob' })),
    )
    expect(again.every(({ granted, holder }) => granted === false && holder === 'ada')).toBe(true)
  })
})

describe('one name twice in a call', () => {
  test('goes to the first; the second is told who has it', async () => {
    const asked = ['ada', 'bob', 'ada'].map((holder) => ({ name: named('twice'), holder }))
    const answers = await acquireAll(one, [
      asked[0],
      { name: named('a'), holder: 'ada' },
      asked[1],
      asked[2],
    ] as never)
    expect(answers.map(({ granted, holder }) => [granted, holder])).toEqual([
      [true, 'ada'],
      [true, 'ada'],
      [false, 'ada'],
      [true, 'ada'],
    ])
    expect(answers[3]?.token).toBe(answers[0]?.token)
  })

  test('so too where it was held before', async () => {
    await release(one, named('twice'), await grantTo(one, named('twice'), 'cyd'))
    const answers = await acquireAll(
      one,
      ['bob', 'ada'].map((holder) => ({ name: named('twice'), holder })),
    )
    expect(answers.map(({ granted, holder }) => [granted, holder])).toEqual([
      [true, 'bob'],
      [false, 'bob'],
    ])
  })
})

describe('what is not to be had, beside what is', () => {
  const ask = (...names: string[]) =>
    acquireAll(
      one,
      names.map((name) => ({ name: named(name), holder: 'bob' })),
    )
  const outcomes = async (...names: string[]) => (await ask(...names)).map(({ granted }) => granted)

  /** That nothing was waited for: else all would have been decided one by one. */
  const expectOneMoment = async (...names: string[]) => {
    const text = 'SELECT count(DISTINCT acquired_at)::int FROM elect.leases WHERE name = ANY ($1)'
    expect(await scalar(one, text, [names.map(named)])).toBe(1)
  }

  /** A name that was released once. */
  const vacant = async (name: string) => release(other, named(name), await grantTo(other, named(name), 'ada'))

  beforeAll(async () => {
    // A wait fails, instead of leaving it to the time limit of the test.
    await one.query("SET statement_timeout = '5s'")
  })

  test('a lease of which a guarded transaction of its last holder is open', async () => {
    for (const name of ['free', 'free too']) await vacant(name)
    const token = await grantTo(other, named('guarded'), 'ada', '200 milliseconds')
    await inTransaction(other, async () => {
      await guard(other, named('guarded'), token)
      await untilExpired(one, named('guarded'))
      const answers = await ask('free', 'guarded', 'free too')
      expect(answers).toMatchObject([{ granted: true }, nobody, { granted: true }])
      await expectOneMoment('free', 'free too')
    })
    expect(await outcomes('guarded')).toEqual([true])
  })

  test('a row that another transaction has locked', async () => {
    await vacant('locked')
    await vacant('free')
    await inTransaction(other, async () => {
      await other.query('SELECT FROM elect.leases WHERE name = $1 FOR UPDATE', [named('locked')])
      expect(await ask('locked', 'free', 'new')).toMatchObject([nobody, { granted: true }, { granted: true }])
      await expectOneMoment('free', 'new')
    })
  })

  test('a name that another transaction is granted at this moment', async () => {
    await inTransaction(other, async () => {
      await acquireAll(other, [{ name: named('contended'), holder: 'ada' }])
      expect(await outcomes('contended', 'new')).toEqual([false, true])
    })
    expect(await outcomes('contended')).toEqual([true])
  })

  test('a name whose advisory lock another session has', async () => {
    await vacant('mutex')
    for (const name of ['mutex', 'new mutex']) {
      expect(await scalar(other, 'SELECT elect.try_advisory_lock($1)', [named(name)])).toBe(true)
    }
    expect(await outcomes('mutex', 'new mutex', 'free')).toEqual([false, false, true])
    for (const name of ['mutex', 'new mutex'])
      await other.query('SELECT elect.advisory_unlock($1)', [named(name)])
    expect(await outcomes('mutex', 'new mutex')).toEqual([true, true])
  })

  test('a lease for which somebody stands in line: nobody barges in', async () => {
    await grantTo(other, named('line'), 'ada', '300 milliseconds')
    await standAll(other, named('line'), 'cyd')
    await vacant('free')
    await untilExpired(one, named('line'))
    expect(await outcomes('line', 'free')).toEqual([false, true])
    const first = { name: named('line'), holder: 'cyd' }
    expect(await acquireAll(one, [first])).toMatchObject([{ granted: true, holder: 'cyd' }])
    const left = await rowsOf(one, 'SELECT FROM elect.candidates WHERE lease = $1', [named('line')])
    expect(left).toEqual([])
  })

  test('leases that are all vacant, and somebody stands in line for one of them', async () => {
    const names = ['line', 'free'].map(named)
    await grantAllTo(other, names, 'ada', '300 milliseconds')
    await standAll(other, named('line'), 'cyd')
    await untilExpired(one, ...names)
    expect(await outcomes('line', 'free')).toEqual([false, true])
  })

  test('a share, and the name of a shared lease', async () => {
    const share = `SELECT lease FROM elect.acquire_share($1, 'ada', ttl => '1 hour')`
    const lease = await scalar<string>(other, share, [named('shared')])
    const asked = [lease, named('free')].map((name) => ({ name, holder: 'bob' }))
    expect((await acquireAll(one, asked)).map(({ granted }) => granted)).toEqual([false, true])
    const failure = await failureOf(ask('not granted', 'shared'))
    expect([failure.code, failure.message]).toEqual([
      '22023',
      `Invalid lease name: ${named('shared')} is the name of a shared lease`,
    ])
    expect(await rowsOf(one, 'SELECT FROM elect.leases WHERE name = $1', [named('not granted')])).toEqual([])
  })
})

describe('in the grace after a fail-over', () => {
  const epochs = async (seen: string) => {
    await one.query("SELECT setval('elect.epoch_seen', $1)", [seen])
  }

  test('what is of an older epoch, or unknown, waits; what was granted in this one does not', async () => {
    await one.query("SELECT elect.configure(longest_ttl => '1 minute', grace => true)")
    await grantAllTo(one, [named('old'), named('older'), named('held')], 'ada')
    for (const name of ['old', 'older']) {
      await release(one, named(name), (await stored(one, named(name))).token)
    }
    try {
      await one.query("SELECT elect.new_epoch('a test')")
      const names = ['old', 'held', 'new'].map((name) => ({ name: named(name), holder: 'bob' }))
      const answers = await acquireAll(one, names)
      expect(answers.map(({ granted, holder }) => [granted, holder])).toEqual([
        [false, null],
        [false, 'ada'],
        [false, null],
      ])
      for (const place of [0, 2]) expect(answers[place]?.expiresInMs).toBeGreaterThan(55_000)
      const vacant = ['old', 'older'].map((name) => ({ name: named(name), holder: 'bob' }))
      expect((await acquireAll(one, vacant)).map(({ granted }) => granted)).toEqual([false, false])
      // The grace of one is over when an operator says so; here by the clock.
      await epochs(`${Date.now() * 1000 - 61_000_000}`)
      const [old] = await acquireAll(one, names.slice(0, 1))
      expect(old).toMatchObject({ granted: true, holder: 'bob' })
      await release(one, named('old'), old?.token as number)
      // In a young epoch still, but granted in it.
      await epochs(`${Date.now() * 1000}`)
      const again = await acquireAll(one, names)
      expect(again.map(({ granted }) => granted)).toEqual([true, false, false])
      await release(one, named('old'), again[0]?.token as number)
      expect((await acquireAll(one, vacant)).map(({ granted }) => granted)).toEqual([true, false])
    } finally {
      await epochs('1')
    }
  })
})

describe.each(['REPEATABLE READ', 'SERIALIZABLE'])('at %s', (level) => {
  test('all are decided one by one, as acquire_lease does', async () => {
    const name = `${level} ${named('a')}`
    await one.query(`BEGIN ISOLATION LEVEL ${level}`)
    const answers = await acquireAll(one, [
      { name, holder: 'ada' },
      { name: `${name} too`, holder: 'ada' },
    ])
    await one.query('COMMIT')
    expect(answers.map(({ granted }) => granted)).toEqual([true, true])
  })

  test('a grant since the snapshot is an error to try again after, and then none is granted', async () => {
    const name = `${level} ${named('past')}`
    await release(other, name, await grantTo(other, name, 'ada'))
    const asking = inTransaction(
      one,
      async () => {
        await one.query('SELECT count(*) FROM elect.leases')
        await grantTo(other, name, 'cyd', '1 hour')
        return sqlStateOf(
          acquireAll(one, [
            { name: `${name} new`, holder: 'bob' },
            { name, holder: 'bob' },
          ]),
        )
      },
      `BEGIN ISOLATION LEVEL ${level}`,
    )
    expect(await asking).toBe('40001')
  })
})

test('two calls that overlap in opposite order do not wait for each other', async () => {
  const names = Array.from({ length: 60 }, (_, index) => `${named('cross')} ${index}`)
  await grantAllTo(one, names.slice(0, 30), 'ada', '100 milliseconds')
  await untilExpired(one, ...names.slice(0, 30))
  const asked = (holder: string, of: readonly string[]) => of.map((name) => ({ name, holder }))
  for (const session of [one, other]) await session.query("SET statement_timeout = '5s'")
  const [forth, back] = await Promise.all([
    acquireAll(one, asked('forth', names)),
    acquireAll(other, asked('back', names.toReversed())),
  ])
  const granted = [...forth, ...back].filter((answer) => answer.granted === true)
  expect(granted).toHaveLength(60)
  expect(new Set(granted.map(({ name }) => name)).size).toBe(60)
})

test('a call in an open transaction keeps others from what it was granted, and from nothing else', async () => {
  const held = named('open')
  await inTransaction(one, async () => {
    await grantAllTo(one, [held], 'ada')
    expect((await acquire(other, held, 'bob')).granted).toBe(false)
    expect((await acquire(other, named('beside'), 'bob')).granted).toBe(true)
  })
  expect((await acquire(other, held, 'bob')).granted).toBe(true)
})

describe('a batch', () => {
  test('of refusals writes nothing', async () => {
    const names = [named('a'), named('b')]
    await grantAllTo(one, names, 'ada', '1 hour')
    const explain = (holder: string) =>
      scalar<[{ Plan: { 'WAL Records': number } }]>(
        other,
        `EXPLAIN (ANALYZE, WAL, FORMAT JSON) SELECT * FROM elect.acquire_leases(
          '{"${names.join('","')}"}', '{${holder},${holder}}', '{15 s,15 s}')`,
      )
    await explain('warm')
    expect((await explain('bob'))[0].Plan['WAL Records']).toBe(0)
  })

  test('is told on both channels of each, as single grants are', async () => {
    const { listener, listen } = await hear()
    const names = ['new', 'vacant', 'expired', 'held'].map(named)
    const channels = await Promise.all(
      names.map((name) => scalar<string>(one, 'SELECT elect.lease_channel($1)', [name])),
    )
    await release(one, named('vacant'), await grantTo(one, named('vacant'), 'ada'))
    await grantTo(one, named('expired'), 'ada "quoted"', '100 milliseconds')
    await grantTo(one, named('held'), 'ada', '1 hour')
    await untilExpired(one, named('expired'))
    await listen('elect', ...channels)
    const answers = await acquireAll(
      one,
      names.map((name) => ({ name, holder: `b"b\\${name}` })),
    )
    const told = (place: number, event: string, previous: string | null) => ({
      event,
      name: names[place],
      holder: `b"b\\${names[place]}`,
      token: answers[place]?.token,
      previous_holder: previous,
    })
    const expected = [told(0, 'granted', null), told(1, 'granted', null), told(2, 'expired', 'ada "quoted"')]
    const heard = await listener.heard()
    expect(heard.get('elect')).toEqual(expect.arrayContaining(expected))
    expect(heard.get('elect')).toHaveLength(3)
    for (const [place, message] of expected.entries())
      expect(heard.get(channels[place] as string)).toEqual([message])
    expect(heard.has(channels[3] as string)).toBe(false)
  })

  test('of vacant leases is told as one with others in it', async () => {
    const { listener, listen } = await hear()
    const names = ['a', 'b'].map(named)
    await grantAllTo(one, names, 'ada', '100 milliseconds')
    await untilExpired(one, ...names)
    await listen('elect')
    await grantAllTo(one, names, 'bob')
    const heard = (await listener.heard()).get('elect')
    expect(heard?.map(({ event, name, previous_holder }) => [event, name, previous_holder])).toEqual([
      ['expired', names[0], 'ada'],
      ['expired', names[1], 'ada'],
    ])
  })

  test('is granted at one moment, after its locks, and not at the start of the transaction', async () => {
    const names = ['a', 'b', 'c'].map(named)
    await release(one, names[0] as string, await grantTo(one, names[0] as string, 'ada'))
    await inTransaction(one, async () => {
      await one.query('SELECT pg_sleep(0.05)')
      await grantAllTo(one, names, 'ada', '15 seconds')
      const text = `SELECT count(DISTINCT renewed_at)::int AS moments, bool_and(renewed_at > now() + interval '50 ms') AS later
        FROM elect.leases WHERE name = ANY ($1)`
      expect(await oneRow(one, text, [names])).toEqual({ moments: 1, later: true })
    })
  })
})

test.each([
  [
    'a name',
    `ARRAY['a', ''], '{x,y}', '{1 s,1 s}'`,
    'Invalid lease name: expected 1 to 200 bytes, got 0 bytes',
    'lease .',
  ],
  [
    'a holder',
    `'{a,b}', ARRAY['x', null], '{1 s,1 s}'`,
    'Invalid holder: expected 1 to 500 bytes, got null',
    'lease b',
  ],
  [
    'a ttl',
    `'{a,b}', '{x,y}', '{1 s,1 mon -30 days 1 s}'`,
    'Invalid ttl: expected 100 milliseconds to 24 hours without months, got 1 mon -30 days +00:00:01',
    'lease b',
  ],
  [
    'metadata',
    `'{a,b}', '{x,y}', '{1 s,1 s}', ARRAY[null, to_jsonb(repeat('x', 4095))]`,
    'Invalid metadata: expected at most 4096 bytes of JSON, got 4097',
    'lease b',
  ],
])('%s that is bad is told with its place, and none is granted', async (_what, values, message, place) => {
  const failure = await failureOf(one.query(`SELECT * FROM elect.acquire_leases(${values})`))
  expect([failure.code, failure.message]).toEqual(['22023', message])
  expect(failure.detail).toMatch(new RegExp(`^Request 2, ${place}`))
  expect(await rowsOf(one, "SELECT FROM elect.leases WHERE name IN ('a', 'b')")).toEqual([])
})
