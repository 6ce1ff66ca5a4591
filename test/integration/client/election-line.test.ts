import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  AccessDeniedError,
  type Election,
  InvalidArgumentError,
  NoCandidateError,
  type PgElect,
  ResignedError,
} from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { openClient } from './clients.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

/** Longer than any test: whoever leads was handed the leadership, and has not waited for an expiry. */
const LONG = { ttlMs: 300_000 }

/** Resolves once that many stand in line. */
async function standing(client: PgElect, name: string, count: number): Promise<string[]> {
  for (;;) {
    const candidates = await client.candidates(name)
    if (candidates.length >= count) return candidates.map(({ candidate }) => candidate)
  }
}

function reached(election: Election, state: string): Promise<unknown> {
  return election.state === state
    ? Promise.resolve()
    : once(election, 'state').then(() => reached(election, state))
}

describe('candidates of an election', () => {
  test('lead in the order of their priority, and among equals as they came', async () => {
    const { client } = openClient(database, LONG)
    const first = await client.election('order').campaign()
    const order: string[] = []
    const campaigns: Promise<void>[] = []
    for (const [index, [label, priority]] of (
      [
        ['low', -1],
        ['plain', 0],
        ['high', 7],
        ['plain too', 0],
        ['highest', 2 ** 31 - 1],
      ] as const
    ).entries()) {
      const { client: own } = openClient(database, { ...LONG, holder: label })
      campaigns.push(
        own
          .election('order', { priority })
          .campaign()
          .then(async (leadership) => {
            order.push(label)
            await leadership.release()
          }),
      )
      await standing(client, 'order', index + 1)
    }
    await first.release()
    await Promise.all(campaigns)
    expect(order).toEqual(['highest', 'high', 'plain', 'plain too', 'low'])
  })

  test('with priority null observe and are never elected, though nobody else wants to be', async () => {
    const { client } = openClient(database, LONG)
    const election = client.election('ineligible', { priority: null })
    const stop = new AbortController()
    let worked = 0
    const leading = election.lead(() => ++worked, { signal: stop.signal })
    const campaign = election.campaign({ signal: stop.signal })
    // Each statement of one connection is answered in order: had they asked, it would have been granted by now.
    expect(await election.leader()).toBeNull()
    expect(await election.candidates()).toEqual([])
    expect(election.state).toBe('follower')
    stop.abort(new Error('enough'))
    await expect(leading).rejects.toThrow('enough')
    await expect(campaign).rejects.toThrow('enough')
    expect(worked).toBe(0)
  })

  test('leave nothing in line when they are called off', async () => {
    const { client } = openClient(database, LONG)
    const leadership = await client.election('called off').campaign()
    const { client: other } = openClient(database, LONG)
    const stop = new AbortController()
    const campaign = other.election('called off').campaign({ signal: stop.signal })
    await standing(client, 'called off', 1)
    stop.abort(new Error('never mind'))
    await expect(campaign).rejects.toThrow('never mind')
    while ((await client.candidates('called off')).length > 0);
    await leadership.release()
    expect(await client.get('called off')).toBeNull()
  })

  test('of a bad priority or takeover are refused', () => {
    const { client } = openClient(database)
    for (const priority of [0.5, 2 ** 31, Number.NaN, '1']) {
      expect(() => client.election('bad', { priority: priority as number })).toThrow(
        /^Invalid priority: expected a whole number from -2147483647 to 2147483647, got/,
      )
    }
    expect(() => client.election('bad', { takeover: 'soon' as 'expiry' })).toThrow(InvalidArgumentError)
  })
})

describe('a leader that gives up', () => {
  test('drains first: it holds on until its work has settled, and the next one begins after that', async () => {
    const [one, other] = [openClient(database, LONG).client, openClient(database, LONG).client]
    const steps: string[] = []
    const [first, second] = [one.election('drain'), other.election('drain')]
    first.on('state', (state) => steps.push(state))
    let settle = () => {}
    const settled = new Promise<void>((resolve) => {
      settle = resolve
    })
    const stop = new AbortController()
    const leading = first.lead(
      async ({ signal }) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        await settled
        steps.push('settled')
      },
      { signal: stop.signal },
    )
    await reached(first, 'leader')
    const succession = second.campaign().then(() => steps.push('successor'))
    await standing(one, 'drain', 1)
    const resigned = first.resign()
    expect(first.state).toBe('draining')
    // It still leads, to the database.
    expect((await first.leader())?.holder).toBeDefined()
    expect(second.state).toBe('candidate')
    settle()
    expect(await resigned).toBe(true)
    await succession
    expect(steps.filter((step) => step !== 'candidate')).toEqual([
      'leader',
      'draining',
      'settled',
      'follower',
      'successor',
    ])
    stop.abort(new Error('enough'))
    await expect(leading).rejects.toThrow('enough')
  })

  test('hands on to the candidate that is named, else to the first', async () => {
    const clients = ['a', 'b', 'c', 'd'].map((holder) => openClient(database, { ...LONG, holder }).client)
    const [a, b, c, d] = clients.map((client) => client.election('transfer')) as [
      Election,
      Election,
      Election,
      Election,
    ]
    const leadership = await a.campaign()
    const tokens = [leadership.token]
    const elected = [b, c, d].map(async (election) => {
      tokens.push((await election.campaign()).token)
      return election
    })
    const inLine = await standing(clients[0] as PgElect, 'transfer', 3)
    const third = inLine[2]
    const expected = (third?.startsWith('d') ? d : third?.startsWith('c') ? c : b) as Election
    expect(await a.transfer(third)).toBe(true)
    expect(await Promise.race(elected)).toBe(expected)
    expect(leadership.signal.reason).toBeInstanceOf(ResignedError)

    const [next] = await standing(clients[0] as PgElect, 'transfer', 2)
    expect(await expected.transfer()).toBe(true)
    while ((await a.leader())?.holder !== next);
    expect(tokens).toEqual(tokens.toSorted((one, two) => one - two))
  })

  test('leads on if nobody waits, or not the one that is named', async () => {
    const { client } = openClient(database, LONG)
    const { client: other } = openClient(database, LONG)
    const election = client.election('nobody')
    const leadership = await election.campaign()
    await expect(election.transfer()).rejects.toThrow(NoCandidateError)
    void other
      .election('nobody')
      .campaign()
      .catch(() => undefined)
    await standing(client, 'nobody', 1)
    await expect(election.transfer('nobody of that name')).rejects.toThrow(
      /expected "nobody of that name" in line/,
    )
    await expect(election.transfer('')).rejects.toThrow(InvalidArgumentError)
    expect(election.state).toBe('leader')
    expect(leadership.signal.aborted).toBe(false)
    expect(await other.election('nobody').transfer()).toBe(false)
  })

  test('obeys an operator that asks it to step down, and stands in line again behind the others', async () => {
    const [one, other] = [openClient(database, LONG).client, openClient(database, LONG).client]
    const [first, second] = [one.election('step down'), other.election('step down')]
    const stop = new AbortController()
    const terms: string[] = []
    const lead = (election: Election, label: string) =>
      election
        .lead(
          ({ signal }) => {
            terms.push(label)
            return new Promise((resolve) => signal.addEventListener('abort', resolve))
          },
          { signal: stop.signal },
        )
        .catch(() => undefined)
    const leading = [lead(first, 'first')]
    await reached(first, 'leader')
    leading.push(lead(second, 'second'))
    await standing(one, 'step down', 1)
    expect(await other.requestStepDown('step down')).toBe(true)
    await reached(second, 'leader')
    await standing(one, 'step down', 1)
    expect(await one.requestStepDown('step down')).toBe(true)
    await reached(first, 'leader')
    stop.abort()
    await Promise.all(leading)
    expect(terms).toEqual(['first', 'second', 'first'])
    expect(await one.requestStepDown('nobody leads this')).toBe(false)
  })

  test('is not deposed by a mere notification, nor by a request for an earlier term', async () => {
    const { client } = openClient(database, LONG)
    const session = await database.connect()
    const election = client.election('forged')
    const earlier = await election.campaign()
    await session.query(`UPDATE elect.leases SET step_down_token = token WHERE name = 'forged'`)
    await earlier.release()
    const leadership = await election.campaign()
    for (const message of [
      '',
      'null',
      JSON.stringify({ event: 'step_down', name: 'forged', token: leadership.token }),
    ]) {
      await session.query(`SELECT pg_notify(elect.lease_channel('forged'), $1)`, [message])
    }
    // One statement after the other: whatever was told has been looked at once these are answered.
    for (let i = 0; i < 3; i++) await election.leader()
    expect(election.state).toBe('leader')
    expect(leadership.signal.aborted).toBe(false)
    await session.end()
  })

  test('is asked by operators only', async () => {
    const session = await database.connect()
    await session.query(
      `DROP ROLE IF EXISTS test_step_down; CREATE ROLE test_step_down LOGIN PASSWORD 'test' IN ROLE elect_user`,
    )
    const url = new URL(database.connectionString)
    url.username = 'test_step_down'
    url.password = 'test'
    const { client } = openClient(database, { connectionString: url.href })
    await expect(client.requestStepDown('any')).rejects.toThrow(AccessDeniedError)
    await client.close()
    await session.query('DROP ROLE test_step_down')
    await session.end()
  })
})
