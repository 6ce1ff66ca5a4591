import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'

interface Command {
  readonly kind: 'enter' | 'leave' | 'die'
  readonly party: string
}

const kinds: fc.Arbitrary<Command['kind']> = fc.constantFrom('enter', 'enter', 'enter', 'leave', 'die')
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.record({ kind: kinds, party: fc.constantFrom('a', 'b', 'c', 'd', 'e') }),
  { minLength: 1, maxLength: 20 },
)
const cases = fc.record({ parties: fc.integer({ min: 1, max: 4 }), commands })

const look = `SELECT jsonb_build_object(
  'opened_token', (SELECT opened_token FROM elect.get_shared($name)),
  'shares', (SELECT coalesce(jsonb_agg(jsonb_build_object('party', holder, 'token', token, 'lease', lease) ORDER BY token), '[]')
    FROM elect.get_shares($name)))`

interface Stored {
  readonly opened_token: number | null
  readonly shares: { readonly party: string; readonly token: number; readonly lease: string }[]
}

async function check(real: Real, example: { parties: number; commands: Command[] }): Promise<void> {
  const { parties } = example
  /** The whole of it: who has come and not left, in that order, and whether that one may go on. */
  let inside: { readonly party: string; opened: boolean }[] = []
  let stored: Stored = { opened_token: null, shares: [] }

  for (const { kind, party } of example.commands) {
    const share = stored.shares.find((one) => one.party === party)
    if (kind !== 'enter') {
      if (share === undefined) continue
      inside = inside.filter((one) => one.party !== party)
      const release = `SELECT elect.release_lease('${share.lease}', ${share.token})`
      const seen = await real.step(
        kind === 'leave' ? release : `SELECT public.expire_lease('${share.lease}')`,
      )
      stored = seen.state as Stored
    } else {
      if (share === undefined) inside.push({ party, opened: false })
      const gathered = inside.filter(({ opened }) => !opened)
      if (gathered.length >= parties) for (const one of gathered) one.opened = true
      const seen = await real.step(
        `SELECT * FROM elect.enter_barrier($name, '${party}', ${parties}, '1 hour')`,
      )
      stored = seen.state as Stored
      expect(seen.answer.opened).toBe(inside.find((one) => one.party === party)?.opened)
      if (share !== undefined) expect(seen.answer).toMatchObject({ lease: share.lease, token: share.token })
    }
    // Those up to the opened token may go on, and leave together; the others gather.
    const seen = stored.shares.map((one) => ({
      party: one.party,
      opened: one.token <= (stored.opened_token ?? 0),
    }))
    expect(seen).toEqual(inside)
    expect(seen.filter(({ opened }) => !opened).length).toBeLessThan(parties)
  }
}

testModel('a double barrier', cases, look, check)
