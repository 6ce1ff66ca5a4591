import type pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { acquire, inTransaction, release, rowsOf, scalar, sqlStateOf, useDatabase } from './leases.ts'
import { everythingStored, expire, type Share, shareTo } from './shares.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

interface Part {
  readonly partition: number
  readonly lease: string
  readonly holder: string | null
  readonly token: number | null
  readonly action: 'keep' | 'release' | 'acquire' | null
}

function assignment(name: string, partitions: number, member: string, session = client): Promise<Part[]> {
  const text = `SELECT partition, lease, holder, token::float8, action
    FROM elect.get_assignment(name => $1, partitions => $2, member => $3)`
  return rowsOf<Part & pg.QueryResultRow>(session, text, [name, partitions, member])
}

/** Does what the member is asked to do, and returns how many partitions it took. */
async function act(name: string, partitions: number, member: string, session = client): Promise<number> {
  let taken = 0
  for (const { lease, token, action } of await assignment(name, partitions, member, session)) {
    if (action === 'release') await release(session, lease, token as number)
    if (action === 'acquire') taken += (await acquire(session, lease, member, '1 hour')).granted ? 1 : 0
  }
  return taken
}

/** Lets everybody act until there is nothing to do, and returns how many partitions were taken. */
async function settle(name: string, partitions: number, members: string[]): Promise<number> {
  let taken = 0
  for (let round = 0; round < 3; round += 1) {
    for (const member of members) taken += await act(name, partitions, member)
  }
  return taken
}

/** How many partitions each one has. */
async function loads(name: string, partitions: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { holder } of await assignment(name, partitions, 'nobody')) {
    if (holder !== null) counts[holder] = (counts[holder] ?? 0) + 1
  }
  return counts
}

async function join(name: string, members: string[]): Promise<Map<string, Share>> {
  const shares = new Map<string, Share>()
  for (const member of members) shares.set(member, await shareTo(client, name, member))
  return shares
}

describe('get_assignment', () => {
  test('names each partition, from 0 on, and asks the only member to take all', async () => {
    await join('alone', ['ada'])
    expect(await assignment('alone', 2, 'ada')).toEqual([
      { partition: 0, lease: 'alone/0', holder: null, token: null, action: 'acquire' },
      { partition: 1, lease: 'alone/1', holder: null, token: null, action: 'acquire' },
    ])
    expect(await settle('alone', 2, ['ada'])).toBe(2)
    expect((await assignment('alone', 2, 'ada')).map(({ action }) => action)).toEqual(['keep', 'keep'])
  })

  test('asks nothing of one that is no member, whatever it has', async () => {
    await join('outside', ['ada'])
    await acquire(client, 'outside/0', 'eve', '1 hour')
    const actions = (await assignment('outside', 3, 'eve')).map(({ action }) => action)
    expect(actions).toEqual(['keep', null, null])
  })

  test.each([
    [10, 3, [4, 3, 3]],
    [7, 7, [1, 1, 1, 1, 1, 1, 1]],
    [3, 5, [1, 1, 1, 0, 0]],
    [64, 5, [13, 13, 13, 13, 12]],
  ])('spreads %i partitions over %i members', async (partitions, count, expected) => {
    const name = `even ${partitions}`
    const members = Array.from({ length: count }, (_, index) => `member ${index}`)
    await join(name, members)
    expect(await settle(name, partitions, members)).toBe(partitions)
    const counts = await loads(name, partitions)
    const sorted = members.map((member) => counts[member] ?? 0).toSorted((a, b) => b - a)
    expect(sorted).toEqual(expected)
  })

  test('gives out the partitions of a dead member only after their leases have run out', async () => {
    const shares = await join('death', ['ada', 'bob'])
    await settle('death', 6, ['ada', 'bob'])
    await expire(client, (shares.get('bob') as Share).lease)
    const asked = async () => (await assignment('death', 6, 'ada')).map(({ action }) => action)
    const before = await asked()
    expect(before.filter((action) => action === 'keep')).toHaveLength(3)
    expect(before).not.toContain('acquire')
    const left = (await assignment('death', 6, 'ada')).filter(({ holder }) => holder === 'bob')
    await expire(client, ...left.slice(0, 1).map(({ lease }) => lease))
    expect((await asked()).filter((action) => action === 'acquire')).toHaveLength(1)
    await expire(client, ...left.slice(1).map(({ lease }) => lease))
    expect(await settle('death', 6, ['ada'])).toBe(3)
  })

  test('asks those who have more than their part to release it, and the new member to take it', async () => {
    await join('new', ['ada', 'bob'])
    await settle('new', 6, ['ada', 'bob'])
    await join('new', ['eve'])
    expect((await assignment('new', 6, 'eve')).map(({ action }) => action)).not.toContain('acquire')
    await act('new', 6, 'ada')
    expect(await act('new', 6, 'eve')).toBe(1)
    await act('new', 6, 'bob')
    expect(await act('new', 6, 'eve')).toBe(1)
    expect(await loads('new', 6)).toEqual({ ada: 2, bob: 2, eve: 2 })
  })

  test('writes and locks nothing', async () => {
    await join('quiet', ['ada'])
    const before = await everythingStored(client)
    await inTransaction(client, () => assignment('quiet', 3, 'ada'), 'BEGIN READ ONLY')
    expect(await everythingStored(client)).toEqual(before)
  })
})

/** Pseudo-random numbers from 0 to below the limit: the same ones in each run. */
function dice(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % limit
  }
}

/**
 * The fewest partitions that have to be taken anew: all, but for those that stay where they are. Tries out each choice
 * of the members that are to have one more than the others.
 */
function fewestMoves(owned: number[], partitions: number): number {
  const base = Math.floor(partitions / owned.length)
  const larger = partitions % owned.length
  let kept = 0
  for (let choice = 0; choice < 2 ** owned.length; choice += 1) {
    const extra = owned.map((_, index) => (choice >> index) & 1)
    if (extra.reduce((sum, one) => sum + one, 0) !== larger) continue
    const stays = owned.reduce((sum, count, index) => sum + Math.min(count, base + (extra[index] ?? 0)), 0)
    kept = Math.max(kept, stays)
  }
  return partitions - kept
}

test('moves no more partitions than it must, over random histories', async () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const name = `history ${seed}`
    const roll = dice(seed)
    const partitions = 1 + roll(20)
    const shares = await join(name, ['member 50'])
    await settle(name, partitions, ['member 50'])
    for (let change = 1; change <= 8; change += 1) {
      // Up to two at once: one comes, and maybe one leaves or dies.
      if (shares.size < 6) {
        // Not in the order of their names, by which ties are settled.
        const comer = `member ${roll(90)}.${change}`
        shares.set(comer, await shareTo(client, name, comer))
      }
      const leaver = [...shares.keys()][roll(shares.size)] as string
      if (shares.size > 1 && roll(3) > 0) {
        const { lease, token } = shares.get(leaver) as Share
        const owned = (await assignment(name, partitions, leaver)).filter((part) => part.holder === leaver)
        if (roll(2) === 0) await expire(client, lease, ...owned.map((part) => part.lease))
        else {
          for (const part of owned) await release(client, part.lease, part.token as number)
          await release(client, lease, token)
        }
        shares.delete(leaver)
      }
      const members = [...shares.keys()]
      const before = await loads(name, partitions)
      const owned = members.map((member) => before[member] ?? 0)
      expect(await settle(name, partitions, members)).toBe(fewestMoves(owned, partitions))
      const after = await loads(name, partitions)
      const counts = members.map((member) => after[member] ?? 0)
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(partitions)
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    }
  }
})

test('members that act on it at the same moment never ask for the same partition', async () => {
  const roll = dice(7)
  for (let round = 0; round < 60; round += 1) {
    const name = `moment ${round}`
    const partitions = 1 + roll(12)
    const members = Array.from({ length: 1 + roll(6) }, (_, index) => `member ${index}`)
    await join(name, members)
    // Some have some already, and somebody who is no member has some, too.
    for (let partition = 0; partition < partitions; partition += 1) {
      const owner = ['nobody', 'nobody', 'stranger', ...members][roll(members.length + 3)] as string
      if (owner !== 'nobody') await acquire(client, `${name}/${partition}`, owner, '1 hour')
    }
    const plans: Part[][] = []
    for (const member of members) plans.push(await assignment(name, partitions, member))
    const asked = plans.flatMap((plan) =>
      plan.filter(({ action }) => action === 'acquire').map(({ lease }) => lease),
    )
    expect(new Set(asked).size).toBe(asked.length)
    const vacant = (plans[0] ?? []).filter(({ holder }) => holder === null)
    expect(asked).toHaveLength(vacant.length)
  }
})

test('members that act at the same time end up even, and nobody takes from another', async () => {
  const members = ['ada', 'bob', 'eve', 'joe']
  const sessions = await Promise.all(members.map(() => database.connect()))
  await join('race', members.slice(0, 1))
  await settle('race', 16, ['ada'])
  await join('race', members.slice(1))
  for (let round = 0; round < 6; round += 1) {
    await Promise.all(sessions.map((session, index) => act('race', 16, members[index] as string, session)))
  }
  expect(await loads('race', 16)).toEqual({ ada: 4, bob: 4, eve: 4, joe: 4 })
})

test('the old owner of a partition that moved cannot write any more', async () => {
  await join('moved', ['ada'])
  await settle('moved', 2, ['ada'])
  const before = await assignment('moved', 2, 'ada')
  await join('moved', ['bob'])
  await settle('moved', 2, ['ada', 'bob'])
  const states = []
  for (const { lease, token } of before) {
    const query = client.query('SELECT elect.assert_lease($1, $2)', [lease, token])
    states.push(await sqlStateOf(query))
  }
  expect(states.toSorted()).toEqual(['00000', 'LE001'])
  expect(await scalar(client, "SELECT count(*)::int FROM elect.get_shares('moved')")).toBe(2)
})
