import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'

interface Command {
  /** `act` does all that a member is asked to do, `act once` the first of it, as if it was held up then. */
  readonly kind: 'join' | 'leave' | 'act' | 'act once' | 'die' | 'partitions die'
  readonly member: string
}

const kinds: fc.Arbitrary<Command['kind']> = fc.constantFrom(
  ...(['join', 'join', 'join', 'act', 'act', 'act', 'act once', 'leave', 'die', 'partitions die'] as const),
)
const cases = fc.record({
  total: fc.integer({ min: 1, max: 7 }),
  commands: fc.array(fc.record({ kind: kinds, member: fc.constantFrom('a', 'b', 'c', 'd') }), {
    minLength: 1,
    maxLength: 14,
  }),
})

const look = `SELECT jsonb_build_object(
  'members', (SELECT coalesce(jsonb_object_agg(holder, jsonb_build_object('lease', lease, 'token', token)), '{}')
    FROM elect.get_shares($name)),
  'owners', (SELECT coalesce(jsonb_object_agg(name, jsonb_build_object('owner', holder, 'token', token)), '{}')
    FROM elect.current_leases WHERE name LIKE $name || '/%'))`

interface Stored {
  readonly members: Record<string, { readonly lease: string; readonly token: number }>
  readonly owners: Record<string, { readonly owner: string; readonly token: number }>
}

/** What a member was granted, whether or not it still has it. */
interface Term {
  readonly lease: string
  readonly owner: string
  readonly token: number
}

async function check(real: Real, example: { total: number; commands: Command[] }): Promise<void> {
  const { total } = example
  let stored: Stored = { members: {}, owners: {} }
  /** The whole of it: who is a member, and who owns which partition. */
  const members = new Set<string>()
  const owners = new Map<string, string>()
  const terms: Term[] = []

  const step = async (text: string) => {
    const seen = await real.step(text)
    stored = seen.state as Stored
    expect(Object.keys(stored.members).toSorted()).toEqual([...members].toSorted())
    return seen.answer
  }
  const expectOwners = () => {
    const seen = Object.entries(stored.owners).map(([lease, { owner }]) => [lease, owner])
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(owners))
  }

  /** Does what a member is asked to do, up to so much of it; returns how much there was. */
  const act = async (member: string, most: number): Promise<number> => {
    const { plan } = (await step(
      `SELECT coalesce(jsonb_agg(a) FILTER (WHERE action <> 'keep'), '[]') AS plan
       FROM elect.get_assignment($name, ${total}, '${member}') AS a`,
    )) as { plan: { lease: string; token: number; action: 'release' | 'acquire' }[] }
    for (const { lease, token, action } of plan.slice(0, most)) {
      if (action === 'release') {
        expect(owners.get(lease)).toBe(member)
        owners.delete(lease)
        expect(await step(`SELECT elect.release_lease('${lease}', ${token}) AS done`)).toEqual({ done: true })
      } else {
        // Nobody is ever asked to take what another one has.
        expect(owners.get(lease)).toBeUndefined()
        owners.set(lease, member)
        const answer = await step(
          `SELECT granted, token FROM elect.acquire_lease('${lease}', '${member}', '1 hour')`,
        )
        expect(answer).toMatchObject({ granted: true })
        terms.push({ lease, owner: member, token: answer.token as number })
      }
      expectOwners()
    }
    return plan.length
  }

  /** The leases of all partitions that a member has run out. */
  const expirePartitions = async (member: string) => {
    for (const [lease, owner] of [...owners]) {
      if (owner !== member) continue
      owners.delete(lease)
      await step(`SELECT public.expire_lease('${lease}')`)
    }
  }

  for (const { kind, member } of example.commands) {
    const share = stored.members[member]
    if (kind === 'join') {
      members.add(member)
      await step(`SELECT granted FROM elect.acquire_share($name, '${member}', ttl => '1 hour')`)
    } else if (kind === 'act' || kind === 'act once') {
      await act(member, kind === 'act' ? total : 1)
    } else if (kind === 'partitions die') {
      await expirePartitions(member)
    } else if (share !== undefined) {
      members.delete(member)
      // One that leaves keeps its partitions until they run out, as one that died does: the harder case.
      const release = `SELECT elect.release_lease('${share.lease}', ${share.token})`
      await step(kind === 'leave' ? release : `SELECT public.expire_lease('${share.lease}')`)
    }
    expectOwners()
  }

  // Whoever lost a partition cannot write as its owner any more, whatever it believes.
  const believed = terms.map(({ lease, token }) => `('${lease}', ${token}::bigint)`)
  if (believed.length > 0) {
    const { proofs } = await step(
      `SELECT jsonb_agg(public.proves(b.lease, b.token)) AS proofs FROM (VALUES ${believed}) AS b (lease, token)`,
    )
    expect(proofs).toEqual(
      terms.map(({ lease, token }) => (stored.owners[lease]?.token === token ? '00000' : 'LE001')),
    )
  }

  // Left alone, the members come to rest, with everything assigned and spread evenly.
  if (members.size === 0) return
  for (const owner of new Set(owners.values())) if (!members.has(owner)) await expirePartitions(owner)
  let asked = 1
  for (let round = 0; round < 4 && asked > 0; round += 1) {
    asked = 0
    for (const member of members) asked += await act(member, total)
  }
  expect(asked).toBe(0)
  const loads = [...members].map((member) => [...owners.values()].filter((owner) => owner === member).length)
  expect(owners.size).toBe(total)
  expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(1)
}

testModel('partitions', cases, look, check)
