import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  acquire,
  type Grant,
  grantTo,
  guard,
  inTransaction,
  nobodyKnown,
  oneRow,
  release,
  renew,
  rowsOf,
  scalar,
  untilExpired,
  useDatabase,
} from './leases.ts'

const database = useDatabase()

/** One call by each session, all of them sent before any answer is awaited. */
function acquireAtOnce(sessions: pg.Client[], name: string): Promise<Grant[]> {
  return Promise.all(sessions.map((session, index) => acquire(session, name, `contender ${index}`)))
}

function granted(grants: Grant[]): Grant[] {
  return grants.filter((grant) => grant.granted)
}

function sessions(count: number): Promise<pg.Client[]> {
  return Promise.all(Array.from({ length: count }, () => database.connect()))
}

describe('contenders at the same instant', () => {
  test('two for each of 1,000 new names: exactly one is granted each', async () => {
    const pair = await sessions(2)
    const tokens = new Set<number | null>()
    for (let round = 0; round < 1000; round += 1) {
      const winners = granted(await acquireAtOnce(pair, `new ${round}`))
      expect(winners).toHaveLength(1)
      tokens.add(winners[0]?.token ?? null)
    }
    const held = await rowsOf(pair[0] as pg.Client, 'SELECT token::float8 FROM elect.current_leases')
    expect(new Set(held.map(({ token }) => token))).toEqual(tokens)
  })

  test('twenty for each of 50 new names', async () => {
    const many = await sessions(20)
    for (let round = 0; round < 50; round += 1) {
      expect(granted(await acquireAtOnce(many, `crowd ${round}`))).toHaveLength(1)
    }
  })

  test('ten for each of 100 expired leases', async () => {
    const many = await sessions(10)
    const names = Array.from({ length: 100 }, (_, index) => `expired ${index}`)
    const [first] = many as [pg.Client]
    for (const name of names) await grantTo(first, name, 'ada', '100 milliseconds')
    await untilExpired(first, ...names)
    for (const name of names) {
      expect(granted(await acquireAtOnce(many, name))).toHaveLength(1)
    }
  })
})

describe('a refusal of a held lease', () => {
  let holder: pg.Client
  let contender: pg.Client
  beforeAll(async () => {
    holder = await database.connect()
    contender = await database.connect()
  })

  const writes = `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int FROM pg_stat_xact_user_tables`

  test('writes no row, takes no lock and no transaction id', async () => {
    await grantTo(holder, 'quiet', 'ada', '1 hour')
    const before = await oneRow(holder, "SELECT ctid, xmin, xmax FROM elect.leases WHERE name = 'quiet'")
    await inTransaction(contender, async () => {
      const written = await scalar(contender, writes)
      expect((await acquire(contender, 'quiet', 'bob')).granted).toBe(false)
      expect(await scalar(contender, writes)).toBe(written)
      expect(await scalar(contender, 'SELECT pg_current_xact_id_if_assigned()')).toBeNull()
      const locks = await rowsOf(
        contender,
        `SELECT DISTINCT locktype, mode FROM pg_locks
         WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'`,
      )
      expect(locks).toEqual([{ locktype: 'relation', mode: 'AccessShareLock' }])
    })
    const after = await oneRow(holder, "SELECT ctid, xmin, xmax FROM elect.leases WHERE name = 'quiet'")
    expect(after).toEqual(before)
  })

  test('writes no WAL', async () => {
    await grantTo(holder, 'no wal', 'ada', '1 hour')
    // Of this statement alone: the position of the whole server moves by what other sessions do.
    const explain = (name: string) =>
      scalar<[{ Plan: { 'WAL Records': number } }]>(
        contender,
        `EXPLAIN (ANALYZE, WAL, FORMAT JSON) SELECT * FROM elect.acquire_lease('${name}', 'bob')`,
      )
    expect((await explain('a first grant'))[0].Plan['WAL Records']).toBeGreaterThan(0)
    expect((await explain('no wal'))[0].Plan['WAL Records']).toBe(0)
  })

  test('works in a transaction that may not write', async () => {
    await grantTo(holder, 'read only', 'ada', '1 hour')
    const refusal = inTransaction(contender, () => acquire(contender, 'read only', 'bob'), 'BEGIN READ ONLY')
    expect(await refusal).toMatchObject({ granted: false, holder: 'ada' })
  })
})

describe('acquire_lease never waits', () => {
  let blocker: pg.Client
  let contender: pg.Client
  beforeAll(async () => {
    blocker = await database.connect()
    contender = await database.connect()
    // A wait fails, instead of leaving it to the time limit of the test.
    await contender.query("SET lock_timeout = '2s'")
  })

  interface Case {
    /** What the blocker does in a transaction that stays open. */
    readonly block: (name: string, token: number) => Promise<unknown>
    /** Whether the lease has expired by the time the contender comes. */
    readonly expired: boolean
    /** Who the refusal names. */
    readonly holder: string | null
  }
  const lockRow = (strength: string) => (name: string) =>
    blocker.query(`SELECT FROM elect.leases WHERE name = $1 FOR ${strength}`, [name])
  const cases: Record<string, Case> = {
    'for the row lock of a held lease': { block: lockRow('UPDATE'), expired: false, holder: 'ada' },
    'for the row lock of an expired lease': { block: lockRow('UPDATE'), expired: true, holder: null },
    'for a renewal that is not committed': {
      block: (name, token) => renew(blocker, name, token),
      expired: false,
      holder: 'ada',
    },
    'for a release that is not committed': {
      block: (name, token) => release(blocker, name, token),
      expired: false,
      holder: 'ada',
    },
    'for a takeover that is not committed': {
      block: (name) => acquire(blocker, name, 'eve'),
      expired: true,
      holder: null,
    },
    'for a prune that is not committed': {
      block: () => blocker.query("SELECT elect.prune_leases('0 seconds')"),
      expired: true,
      holder: null,
    },
  }

  test.each(Object.entries(cases))('%s', async (name, { block, expired, holder }) => {
    const token = await grantTo(blocker, name, 'ada', expired ? '150 milliseconds' : '1 hour')
    if (expired) await untilExpired(blocker, name)
    await inTransaction(blocker, async () => {
      await block(name, token)
      expect(await acquire(contender, name, 'bob')).toMatchObject({ granted: false, holder })
    })
    expect((await acquire(contender, name, 'bob')).granted).toBe(expired)
  })

  test('for a guarded transaction that outlives the lease', async () => {
    const token = await grantTo(blocker, 'guarded', 'ada', '150 milliseconds')
    await inTransaction(blocker, async () => {
      await guard(blocker, 'guarded', token)
      await untilExpired(contender, 'guarded')
      expect(await acquire(contender, 'guarded', 'bob')).toEqual(nobodyKnown)
    })
    await grantTo(contender, 'guarded', 'bob')
  })

  test('for a first grant that is not committed', async () => {
    await inTransaction(blocker, async () => {
      await grantTo(blocker, 'first', 'ada')
      expect(await acquire(contender, 'first', 'bob')).toEqual(nobodyKnown)
    })
    await grantTo(contender, 'first', 'bob')
  })

  test('for itself: a retry while its first call is still open is refused, not blocked', async () => {
    await grantTo(blocker, 'itself', 'ada')
    await inTransaction(blocker, async () => {
      expect((await acquire(blocker, 'itself', 'ada')).granted).toBe(true)
      expect((await acquire(contender, 'itself', 'ada')).granted).toBe(false)
    })
    expect((await acquire(contender, 'itself', 'ada')).granted).toBe(true)
  })
})
