import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AlreadyCampaigningError, ClosedError, type LeadershipChange } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** Longer than any test: whoever takes over has been told, and has not waited for an expiry. */
const LONG = { ttlMs: 300_000 }

describe('an election', () => {
  test('goes from follower through candidate to leader and back, and tells so', async () => {
    const { client } = openClient(database)
    const election = client.election('states')
    const states: string[] = []
    election.on('state', (state) => states.push(state))
    expect(election.state).toBe('follower')

    const leadership = await election.campaign()
    expect(election.state).toBe('leader')
    expect(leadership.isHeld).toBe(true)
    await expect(election.campaign()).rejects.toThrow(AlreadyCampaigningError)

    await election.resign()
    expect(election.state).toBe('follower')
    expect(leadership.signal.aborted).toBe(true)
    expect(states).toEqual(['candidate', 'leader', 'draining', 'follower'])
    expect(await election.leader()).toBeNull()
  })

  test('shows the leader and its metadata to everybody', async () => {
    const [one, other] = [openClient(database).client, openClient(database).client]
    const metadata = { url: 'http://127.0.0.1:8080', zones: ['a', 'b'] }
    const leadership = await one.election('metadata', { metadata }).campaign()
    expect(await other.election('metadata').leader()).toMatchObject({
      holder: leadership.holder,
      token: leadership.token,
      metadata,
    })
  })

  test('a follower hears of a release and takes over, without waiting for the ttl', async () => {
    const [one, other] = [openClient(database, LONG), openClient(database, LONG)]
    const [first, second] = [one.client.election('release'), other.client.election('release')]
    const leadership = await first.campaign()
    const succession = second.campaign()
    await other.log.candidateListens()

    await first.resign()
    const successor = await succession
    expect(successor.token).toBeGreaterThan(leadership.token)
    // Waiting is what followers do: nothing is wrong.
    expect(other.log.complaints).toEqual([])
  })

  test('observe tells each leader in order, from the first look on, and ends with its signal', async () => {
    const { client } = openClient(database, LONG)
    const { client: watcher } = openClient(database, LONG)
    const stop = new AbortController()
    const changes = watcher.election('observed').observe({ signal: stop.signal })
    const next = async () => (await changes.next()).value as LeadershipChange

    expect(await next()).toEqual({ leader: null, previous: null })
    const election = client.election('observed')
    const first = await election.campaign()
    expect((await next()).leader?.token).toBe(first.token)
    await election.resign()
    expect(await next()).toMatchObject({ leader: null, previous: { token: first.token } })
    const second = await election.campaign()
    expect((await next()).leader?.token).toBe(second.token)

    const ended = changes.next()
    stop.abort()
    expect(await ended).toEqual({ done: true, value: undefined })
  })

  test('observe tells of an expiry, which sends no notification', async () => {
    const session = await database.connect()
    const { client } = openClient(database, LONG)
    await session.query(`SELECT elect.acquire_lease('silent', 'gone', '500 ms')`)
    const changes = client.election('silent').observe()
    expect((await changes.next()).value).toMatchObject({ leader: { holder: 'gone' } })
    expect((await changes.next()).value).toMatchObject({ leader: null, previous: { holder: 'gone' } })
    await changes.return()
  })

  test('lead runs the work while leading, returns what it returned, and releases', async () => {
    const { client } = openClient(database)
    const election = client.election('lead')
    expect(await election.lead(async ({ token }) => token > 0)).toBe(true)
    expect(await election.leader()).toBeNull()
    await expect(
      election.lead(() => {
        throw new TypeError('of the work')
      }),
    ).rejects.toThrow('of the work')
    expect(await election.leader()).toBeNull()
  })

  test('lead campaigns again after the lease was taken away, and never runs the work twice at once', async () => {
    const { client } = openClient(database, { ttlMs: 3_000, renewIntervalMs: 100 })
    const session = await database.connect()
    const tokens: number[] = []
    let running = 0
    const result = await client.election('forced').lead(async ({ signal, token }) => {
      running += 1
      expect(running).toBe(1)
      tokens.push(token)
      if (tokens.length === 1) {
        await session.query(`SELECT elect.force_release('forced', 'a test')`)
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      }
      running -= 1
      return tokens.length
    })
    expect(result).toBe(2)
    expect(tokens[1]).toBeGreaterThan(tokens[0] ?? 0)
  })

  test('lead stops with its signal, after the work has settled', async () => {
    const { client } = openClient(database, LONG)
    const stop = new AbortController()
    const steps: string[] = []
    const election = client.election('stop')
    const leading = election.lead(
      async ({ signal, isHeld }) => {
        steps.push(`working ${isHeld}`)
        stop.abort(new Error('shutting down'))
        await new Promise((resolve) => setImmediate(resolve))
        steps.push(`settled, asked to stop: ${signal.aborted}, led by: ${(await election.leader()) !== null}`)
      },
      { signal: stop.signal },
    )
    await expect(leading).rejects.toThrow('shutting down')
    expect(steps).toEqual(['working true', 'settled, asked to stop: true, led by: true'])
    expect(await election.leader()).toBeNull()
  })

  test('a candidate that is called off leaves nothing behind', async () => {
    const { client } = openClient(database, LONG)
    const leadership = await client.election('called-off').campaign()
    const stop = new AbortController()
    const candidate = client.election('called-off')
    const campaign = candidate.campaign({ signal: stop.signal })
    expect(candidate.state).toBe('candidate')
    stop.abort(new Error('no more'))
    await expect(campaign).rejects.toThrow('no more')
    expect(candidate.state).toBe('follower')
    await leadership.release()
    expect(await candidate.leader()).toBeNull()
  })

  test('close ends campaigns, gives back what is held after its work has settled, and disconnects', async () => {
    const { client } = openClient(database, LONG)
    const { client: other } = openClient(database, LONG)
    let settled = false
    let workBegan = () => {}
    const began = new Promise<void>((resolve) => {
      workBegan = resolve
    })
    const leading = client.election('closing').lead(async ({ signal }) => {
      workBegan()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      expect(await other.get('closing')).not.toBeNull()
      settled = true
    })
    await began
    const waiting = other.election('closing').campaign()
    const ended = expect(leading).rejects.toThrow(ClosedError)
    await client.close()
    expect(settled).toBe(true)
    await ended
    expect((await waiting).isHeld).toBe(true)
    expect(() => client.election('closing')).toThrow(ClosedError)
    await other.close()
    const session = await database.connect()
    const { rows } = await session.query(
      `SELECT count(*)::int AS left FROM pg_stat_activity WHERE application_name = 'pg-elect' AND datname = current_database()`,
    )
    expect(rows).toEqual([{ left: 0 }])
  })

  test('work that does not stop in time keeps its lease until that expires', async () => {
    const { client } = openClient(database, { drainTimeoutMs: 10 })
    const { client: other } = openClient(database)
    let finish = () => {}
    const leading = client.election('stubborn').lead(async () => {
      await new Promise<void>((resolve) => {
        finish = resolve
      })
    })
    const ended = expect(leading).rejects.toThrow(ClosedError)
    const successor = other.election('stubborn')
    while ((await successor.leader()) === null) await new Promise((resolve) => setImmediate(resolve))
    const stubborn = await successor.leader()
    await client.close()
    expect((await successor.leader())?.token).toBe(stubborn?.token)
    expect((await successor.campaign()).token).toBeGreaterThan(stubborn?.token ?? 0)
    finish()
    await ended
  })
})
