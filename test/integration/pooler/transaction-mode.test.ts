import { describe, expect, test } from 'vitest'
import { type Lease, LeaseLostError, ResignedError } from '../../../src/index.ts'
import { aborted } from '../client/clients.ts'
import { until } from '../client/primitives/support.ts'
import { LONG_TTL_MS, next, usePooler } from './support.ts'

const long = { ttlMs: LONG_TTL_MS }

// With one session all clients share it; with two, each statement may meet another one.
describe.each([1, 2])('through a pooler that lends out %i sessions,', (poolSize) => {
  const scene = usePooler(poolSize)

  test('a lease is granted, renewed by itself, released, and granted to the next one', async () => {
    const [ada, bob] = [scene.open({ ttlMs: 1500 }).client, scene.open().client]
    const lease = await ada.acquire('job')
    expect(await bob.tryAcquire('job')).toBeNull()
    const { version = 0 } = (await bob.get('job')) ?? {}
    await until(async () => ((await bob.get('job'))?.version ?? 0) >= version + 3)
    await lease.renew()
    expect(lease.isHeld).toBe(true)
    const waiting = bob.acquire('job')
    expect(await lease.release()).toBe(true)
    expect((await waiting).token).toBeGreaterThan(lease.token)
  })

  test('many questions at once get each its own answer', async () => {
    const { client: ada } = scene.open(long)
    const { client: bob } = scene.open(long)
    const names = Array.from({ length: 60 }, (_, place) => `many ${place}`)
    const asked = [ada, bob].map((client) => Promise.all(names.map((name) => client.tryAcquire(name))))
    const [adas = [], bobs = []] = await Promise.all(asked)
    const holders = await Promise.all(names.map(async (name) => (await ada.get(name))?.holder))
    for (const [place, name] of names.entries()) {
      // One of two at the same name may be told that it is changing hands.
      const got = [adas[place], bobs[place]].filter((lease) => lease != null)
      expect(got.length).toBeLessThanOrEqual(1)
      for (const lease of got) expect([lease.name, lease.holder]).toEqual([name, holders[place]])
    }
    expect([...adas, ...bobs].filter((lease) => lease !== null).length).toBeGreaterThan(0)
  })

  test('an election is handed over as soon as its leader resigns, and observers see it', async () => {
    const [ada, bob, eve] = [scene.open(long), scene.open(long), scene.open(long)]
    const election = ada.client.election('elected')
    const first = await election.campaign()
    const changes = eve.client.election('elected').observe()
    expect((await next(changes)).leader?.token).toBe(first.token)
    const campaigning = bob.client.election('elected').campaign()
    await bob.log.logged('waiting for a lease')
    expect(await election.resign()).toBe(true)
    expect(first.signal.reason).toBeInstanceOf(ResignedError)
    const second = await campaigning
    expect(second.token).toBeGreaterThan(first.token)
    expect((await next(changes)).leader?.token).toBe(second.token)
    await changes.return()
  })

  test('candidates are handed the lease one after the other, in order', async () => {
    const { client } = scene.open(long)
    const lease = await client.acquire('line')
    const order: number[] = []
    const waiting: Promise<unknown>[] = []
    for (const place of [0, 1, 2]) {
      waiting.push(
        scene.open(long).client.withLease('line', () => {
          order.push(place)
        }),
      )
      await until(async () => (await client.candidates('line')).length === place + 1)
    }
    await lease.release()
    await Promise.all(waiting)
    expect(order).toEqual([0, 1, 2])
  })

  test('a leader that is asked to step down does so', async () => {
    const { client } = scene.open(long)
    const leadership = await client.election('stepping down').campaign()
    expect(await scene.open(long).client.requestStepDown('stepping down')).toBe(true)
    expect(await aborted(leadership.signal)).toBeInstanceOf(ResignedError)
  })

  test('a guarded transaction writes a protected table, and a stale one does not', async () => {
    const { client } = scene.open(long)
    const pool = scene.pool(2)
    await scene.session.query(
      "CREATE TABLE ledger (what text); SELECT elect.protect_table('ledger', 'guarded')",
    )
    const lease = await client.acquire('guarded')
    const write = (what: string) =>
      lease.transaction(pool, (trx) => trx.query('INSERT INTO ledger VALUES ($1)', [what]))
    await Promise.all(['one', 'two', 'three'].map(write))
    await expect(pool.query("INSERT INTO ledger VALUES ('unguarded')")).rejects.toThrow('carries no token')
    await scene.session.query("SELECT elect.force_release('guarded', 'a test')")
    await expect(write('stale')).rejects.toThrow(LeaseLostError)
    const { rows } = await scene.session.query<{ what: string }>('SELECT what FROM ledger ORDER BY 1')
    expect(rows.map(({ what }) => what)).toEqual(['one', 'three', 'two'])
    await scene.session.query('DROP TABLE ledger')
  })

  test('an operation happens once, inside of the database and outside', async () => {
    const { client } = scene.open(long)
    const pool = scene.pool(2)
    const lease = await client.acquire('once')
    const done: string[] = []
    for (let time = 0; time < 2; time++) {
      const outside = await lease.once('outside', ({ idempotencyKey }) => {
        done.push(idempotencyKey)
        return 'out'
      })
      const inside = await lease.once('inside', pool, async (trx) => {
        const { rows } = await trx.query<{ answer: string }>("SELECT 'in' AS answer")
        done.push('inside')
        return rows[0]?.answer
      })
      expect([outside, inside]).toEqual(['out', 'in'])
    }
    expect(done).toHaveLength(2)
  })

  test('a permit of a semaphore goes to the next who waits', async () => {
    const permits = [scene.open(long), scene.open(long), scene.open(long)].map(({ client }) =>
      client.semaphore('permits', { permits: 2 }),
    )
    const [ada, bob, carol] = permits as [(typeof permits)[0], (typeof permits)[0], (typeof permits)[0]]
    const [one] = [await ada.acquire(), await bob.acquire()]
    expect(await carol.tryAcquire()).toBeNull()
    const waiting = carol.acquire()
    await until(async () => {
      const { rowCount } = await scene.session.query("SELECT FROM elect.get_candidates('permits')")
      return rowCount === 1
    })
    await one.release()
    expect((await waiting).isHeld).toBe(true)
  })

  test('who watches a group sees its members come and go', async () => {
    const changes = scene.open(long).client.group('members').watch()
    expect((await next(changes)).members).toEqual([])
    const membership = await scene.open(long).client.group('members').join({ name: 'ada' })
    expect((await next(changes)).joined).toMatchObject([{ metadata: { name: 'ada' } }])
    await membership.leave()
    expect((await next(changes)).left).toMatchObject([{ token: membership.token }])
    await changes.return()
  })

  test('partitions are spread over those who are there, and taken over when one leaves', async () => {
    const working = new Map<number, string>()
    const run = (member: string) => {
      const stop = new AbortController()
      const work = async (partition: number, lease: Lease) => {
        expect(working.get(partition)).toBeUndefined()
        working.set(partition, member)
        await aborted(lease.signal)
        working.delete(partition)
      }
      const running = scene.open(long).client.partitions('parts', { count: 4 })
      const ended = running.run(work, { signal: stop.signal }).catch((error: unknown) => error)
      return () => {
        stop.abort('enough')
        return ended
      }
    }
    const countOf = (member: string) => [...working.values()].filter((other) => other === member).length
    const settled = (ada: number, bob: number) =>
      until(async () => {
        await scene.session.query('SELECT 1')
        return countOf('ada') === ada && countOf('bob') === bob
      })
    const stopAda = run('ada')
    await settled(4, 0)
    const stopBob = run('bob')
    await settled(2, 2)
    expect(await stopAda()).toBe('enough')
    await settled(0, 4)
    expect(await stopBob()).toBe('enough')
  })

  test('who watches a key sees each change of its value', async () => {
    const { client } = scene.open(long)
    const changes = scene.open(long).client.register('key').watch()
    expect(await next(changes)).toBeNull()
    expect(await client.compareAndSwap('key', 'a', null)).toBe(true)
    expect(await next(changes)).toMatchObject({ value: 'a' })
    expect(await client.compareAndSwap('key', 'b', 'not a')).toBe(false)
    expect(await client.compareAndSwap('key', 'b', 'a')).toBe(true)
    expect(await next(changes)).toMatchObject({ value: 'b' })
    expect(await client.register('key').clear()).toBe(true)
    expect(await next(changes)).toBeNull()
    await changes.return()
  })

  test('all who wait at a barrier go on when it is lowered', async () => {
    const { client } = scene.open(long)
    await client.barrier('barrier').raise()
    const waiting = [scene.open(long), scene.open(long)].map(({ client }) => client.barrier('barrier').wait())
    await client.barrier('barrier').lower()
    await Promise.all(waiting)
  })

  test('parties begin and end together', async () => {
    const parties = [scene.open(long), scene.open(long)].map(({ client }) =>
      client.doubleBarrier('parties', { parties: 2 }),
    )
    await Promise.all(parties.map((party) => party.enter()))
    await Promise.all(parties.map((party) => party.leave()))
  })

  test('a lease outlives the end of all sessions that the pooler lends out', async () => {
    const { client } = scene.open({ ttlMs: 6_000 })
    const lease = await client.acquire('outlives')
    const version = (await client.get('outlives'))?.version ?? 0
    await scene.session.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    )
    await until(async () => {
      const { rows } = await scene.session.query("SELECT version FROM elect.get_lease('outlives')")
      return Number(rows[0]?.version) > version
    })
    expect(lease.isHeld).toBe(true)
    expect(await lease.release()).toBe(true)
  })

  test('it is told once, and where to find a way past it, when something is to be heard of', async () => {
    const { client, log } = scene.open(long)
    const lease = await client.acquire('told')
    expect(log.lines.filter(({ level }) => level === 'info')).toHaveLength(1)
    const changes = [0, 1].map(() => client.election('told').observe())
    await Promise.all(changes.map(next))
    await lease.release()
    await Promise.all(changes.map(next))
    const told = log.lines.filter(({ message }) => message.includes('listenConnectionString'))
    expect(told).toMatchObject([{ level: 'info' }])
    expect(log.complaints).toEqual([])
    await Promise.all(changes.map((change) => change.return()))
  })
})
