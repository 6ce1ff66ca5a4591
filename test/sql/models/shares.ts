import fc from 'fast-check'
import { expect } from 'vitest'
import type { Real } from './model.ts'

/** What may happen to a shared lease. */
export type ShareCommand =
  | {
      readonly kind: 'ask'
      readonly holder: string
      readonly exclusive: boolean
      readonly wait: boolean
      readonly priority: number
    }
  | { readonly kind: 'release' | 'die' | 'leave' | 'abandon' | 'refresh'; readonly holder: string }
  | { readonly kind: 'capacity'; readonly capacity: number | null }

interface Share {
  readonly holder: string
  readonly exclusive: boolean
}

interface Place extends Share {
  readonly priority: number
}

/** The shares and the line as get_shares and get_candidates show them. */
export const lookAtShares = `SELECT jsonb_build_object(
  'shares', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'holder', holder, 'exclusive', is_exclusive, 'token', token, 'lease', lease) ORDER BY token), '[]')
    FROM elect.get_shares($name)),
  'line', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'holder', candidate, 'exclusive', is_exclusive, 'priority', priority) ORDER BY rank), '[]')
    FROM elect.get_candidates($name)))`

interface Stored {
  readonly shares: (Share & { readonly token: number; readonly lease: string })[]
  readonly line: Place[]
}

const holders = fc.constantFrom('a', 'b', 'c', 'd', 'e')

/** Asks are the most frequent command, so that there is something to release. */
export function asks(exclusive: fc.Arbitrary<boolean>): fc.WeightedArbitrary<ShareCommand> {
  const priority = fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }) },
  )
  const wait = fc.oneof(
    { weight: 3, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  )
  return {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('ask' as const), holder: holders, exclusive, wait, priority }),
  }
}

export const others: fc.WeightedArbitrary<ShareCommand> = {
  weight: 5,
  arbitrary: fc.record({
    kind: fc.constantFrom('release', 'release', 'release', 'die', 'leave', 'abandon', 'refresh'),
    holder: holders,
  }),
}

/** The whole of it: who has a share, who waits, and how many may have one. */
class Model {
  shares: Share[] = []
  /** In the order of their arrival. */
  line: Place[] = []
  capacity: number | null

  constructor(capacity: number | null) {
    this.capacity = capacity
  }

  /** By priority, then arrival. */
  get sorted(): Place[] {
    return this.line.toSorted((a, b) => b.priority - a.priority)
  }

  fits({ exclusive }: { exclusive: boolean }): boolean {
    if (this.capacity === 0) return false
    if (exclusive) return this.shares.length === 0
    return (
      !this.shares.some((share) => share.exclusive) &&
      this.shares.length < (this.capacity ?? Number.POSITIVE_INFINITY)
    )
  }

  admit(): void {
    for (let [next] = this.sorted; next !== undefined && this.fits(next); [next] = this.sorted) {
      this.leave(next.holder)
      this.shares.push({ holder: next.holder, exclusive: next.exclusive })
    }
  }

  leave(holder: string): void {
    this.line = this.line.filter((place) => place.holder !== holder)
  }

  lose(holder: string): void {
    this.shares = this.shares.filter((share) => share.holder !== holder)
  }

  /** How many go before one that stands at this place, or would stand at the end. */
  ahead({ holder, priority }: Place): number {
    const own = this.line.findIndex((place) => place.holder === holder)
    return this.line.filter(
      (place, index) =>
        place.holder !== holder &&
        (place.priority > priority || (place.priority === priority && (own === -1 || index < own))),
    ).length
  }

  ask(place: Place, wait: boolean): { granted: boolean; rank: number | null } {
    if (this.shares.some(({ holder }) => holder === place.holder)) return { granted: true, rank: null }
    if (this.ahead(place) === 0 && this.fits(place)) {
      this.leave(place.holder)
      this.shares.push({ holder: place.holder, exclusive: place.exclusive })
      this.admit()
      return { granted: true, rank: null }
    }
    if (!wait) return { granted: false, rank: null }
    const own = this.line.findIndex(({ holder }) => holder === place.holder)
    if (this.line[own]?.exclusive === place.exclusive) this.line[own] = place
    else {
      this.leave(place.holder)
      this.line.push(place)
    }
    return { granted: false, rank: this.ahead(place) }
  }
}

/** Runs the commands against both, and compares after each of them. */
export async function checkShares(
  real: Real,
  commands: ShareCommand[],
  capacity: number | null,
): Promise<void> {
  const model = new Model(capacity)
  let stored: Stored = { shares: [], line: [] }
  let lastToken = 0

  const perform = async (command: ShareCommand) => {
    if (command.kind === 'capacity') {
      model.capacity = command.capacity
      model.admit()
      return real.step(`SELECT elect.set_capacity($name, ${command.capacity})`)
    }
    const { holder } = command
    const share = stored.shares.find((one) => one.holder === holder)
    if (command.kind === 'ask') {
      const { exclusive, wait, priority } = command
      const text = `SELECT * FROM elect.acquire_share($name, '${holder}', ${exclusive}, ${capacity}, '1 hour', null, ${wait}, ${priority})`
      if (share !== undefined && exclusive && !share.exclusive) {
        await expect(real.step(text)).rejects.toMatchObject({ code: '22023' })
        return undefined
      }
      const expected = model.ask({ holder, exclusive, priority }, wait)
      const seen = await real.step(text)
      expect(seen.answer).toMatchObject(expected)
      // A retry is granted the same share, under the same token.
      if (share !== undefined) expect(seen.answer).toMatchObject({ lease: share.lease, token: share.token })
      return seen
    }
    if (command.kind === 'leave') {
      model.leave(holder)
      model.admit()
      const seen = await real.step(`SELECT granted FROM elect.leave_queue($name, '${holder}')`)
      expect(seen.answer.granted === true).toBe(share !== undefined)
      return seen
    }
    if (command.kind === 'abandon') {
      model.leave(holder)
      return real.step(`SELECT public.expire_place($name, '${holder}')`)
    }
    if (command.kind === 'refresh') {
      const seen = await real.step(`SELECT * FROM elect.refresh_candidates(ARRAY[$name], ARRAY['${holder}'])`)
      const rank = model.sorted.findIndex((place) => place.holder === holder)
      expect(seen.answer).toMatchObject({ granted: share !== undefined, rank: rank === -1 ? null : rank })
      return seen
    }
    if (share === undefined) return undefined
    model.lose(holder)
    if (command.kind === 'die') return real.step(`SELECT public.expire_lease('${share.lease}')`)
    model.admit()
    const seen = await real.step(`SELECT elect.release_lease('${share.lease}', ${share.token}) AS released`)
    expect(seen.answer.released).toBe(true)
    return seen
  }

  for (const command of commands) {
    const before = stored.shares
    const seen = await perform(command)
    if (seen === undefined) continue
    stored = seen.state as Stored
    // Whatever the model says: a writer is alone, and there are never more than may be, unless there were before.
    if (stored.shares.some(({ exclusive }) => exclusive)) expect(stored.shares).toHaveLength(1)
    const bound = Math.max(model.capacity ?? Number.POSITIVE_INFINITY, before.length)
    expect(stored.shares.length).toBeLessThanOrEqual(bound)
    const fresh = stored.shares.filter(({ token }) => !before.some((share) => share.token === token))
    for (const { token } of fresh) expect(token).toBeGreaterThan(lastToken)
    lastToken = Math.max(lastToken, ...fresh.map(({ token }) => token))
    expect(stored.shares.map(({ holder, exclusive }) => ({ holder, exclusive }))).toEqual(model.shares)
    expect(stored.line).toEqual(model.sorted)
  }
}
