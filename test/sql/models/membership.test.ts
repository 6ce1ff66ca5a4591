import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'

interface Command {
  readonly kind: 'join' | 'leave' | 'beat' | 'die' | 'force'
  readonly member: string
}

const kinds: fc.Arbitrary<Command['kind']> = fc.constantFrom(
  'join',
  'join',
  'join',
  'leave',
  'beat',
  'beat',
  'die',
  'force',
)
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.record({ kind: kinds, member: fc.constantFrom('a', 'b', 'c', 'd', 'e') }),
  { minLength: 1, maxLength: 20 },
)

const look = `SELECT coalesce(jsonb_agg(jsonb_build_object(
    'member', holder, 'token', token, 'lease', lease, 'metadata', metadata) ORDER BY token), '[]')
  FROM elect.get_shares($name)`

interface Membership {
  readonly member: string
  readonly token: number
  readonly lease: string
  readonly metadata: unknown
}

async function check(real: Real, list: Command[]): Promise<void> {
  /** The whole of it: who is a member, in the order of joining, and what each one tells of itself. */
  const group = new Map<string, number>()
  /** What each one believes to have, maybe after it was lost. */
  const believed = new Map<string, { readonly lease: string; readonly token: number }>()
  let last = 0

  for (const [number, { kind, member }] of list.entries()) {
    const own = believed.get(member)
    const isMember = group.has(member)
    if (kind === 'join') {
      const seen = await real.step(`SELECT * FROM elect.acquire_share(
        $name, '${member}', ttl => '1 hour', metadata => '{"since": ${number}}')`)
      expect(seen.answer).toMatchObject({ granted: true, holder: member, metadata: { since: number } })
      group.set(member, number)
      const { lease, token } = seen.answer as { lease: string; token: number }
      if (isMember) expect({ lease, token }).toEqual(own)
      else expect(token).toBeGreaterThan(last)
      last = Math.max(last, token)
      believed.set(member, { lease, token })
      expectView(seen.state, group)
      continue
    }
    if (own === undefined) continue
    const texts = {
      leave: `SELECT elect.release_lease('${own.lease}', ${own.token}) AS done`,
      beat: `SELECT granted AS done FROM elect.renew_leases(ARRAY['${own.lease}'], ARRAY[${own.token}])`,
      die: `SELECT public.expire_lease('${own.lease}')`,
      force: `SELECT elect.force_release('${own.lease}', 'a test') AS done`,
    }
    if (kind !== 'beat') group.delete(member)
    const seen = await real.step(texts[kind])
    // Whoever is no member any more is told so.
    if (kind !== 'die') expect(seen.answer.done).toBe(isMember)
    expectView(seen.state, group)
  }
}

function expectView(state: unknown, group: Map<string, number>): void {
  const view = (state as Membership[]).map(({ member, metadata }) => ({ member, metadata }))
  expect(view).toEqual([...group].map(([member, since]) => ({ member, metadata: { since } })))
}

testModel('a group', commands, look, check)
