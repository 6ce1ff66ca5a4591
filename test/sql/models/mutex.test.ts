import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'

type Command =
  | { readonly kind: 'ask'; readonly holder: string; readonly wait: boolean; readonly priority: number }
  | { readonly kind: 'release' | 'leave' | 'abandon' | 'refresh'; readonly holder: string }
  | { readonly kind: 'die' }
  | { readonly kind: 'release stale' }

const holder = fc.constantFrom('a', 'b', 'c', 'd')
const ask = fc.record({
  kind: fc.constant('ask' as const),
  holder,
  wait: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  priority: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }) },
  ),
})
const other = fc.record({
  kind: fc.constantFrom('release', 'release', 'release', 'leave', 'abandon', 'refresh'),
  holder,
})
const nobody: fc.Arbitrary<Command> = fc.constantFrom({ kind: 'die' }, { kind: 'release stale' })
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof({ weight: 6, arbitrary: ask }, { weight: 6, arbitrary: other }, { weight: 2, arbitrary: nobody }),
  { minLength: 1, maxLength: 18 },
)

const look = `SELECT jsonb_build_object(
  'holder', (SELECT holder FROM elect.get_lease($name)),
  'token', (SELECT token FROM elect.leases WHERE name = $name),
  'line', (SELECT coalesce(jsonb_agg(jsonb_build_object('holder', candidate, 'priority', priority) ORDER BY rank), '[]')
    FROM elect.get_candidates($name)))`

interface Place {
  readonly holder: string
  readonly priority: number
}

interface Stored {
  readonly holder: string | null
  readonly token: number | null
  readonly line: Place[]
}

/** The whole of it: who holds the lease, and who waits for it. */
class Model {
  holder: string | null = null
  /** Counts the grants, as the token does. */
  term = 0
  /** In the order of their arrival. */
  line: Place[] = []

  /** By priority, then arrival. */
  get sorted(): Place[] {
    return this.line.toSorted((a, b) => b.priority - a.priority)
  }

  /** The place in line; null for one that has none. */
  rank(holder: string): number | null {
    const index = this.sorted.findIndex((place) => place.holder === holder)
    return index === -1 ? null : index
  }

  leave(holder: string): void {
    this.line = this.line.filter((place) => place.holder !== holder)
  }

  grant(holder: string): void {
    this.leave(holder)
    this.holder = holder
    this.term += 1
  }

  ask(place: Place, wait: boolean): { granted: boolean; holder: string | null; rank: number | null } {
    // One that ran out goes to whoever asks: those who waited for it have had their time.
    if (this.holder === null) this.grant(place.holder)
    else if (this.holder !== place.holder && wait) {
      const own = this.line.findIndex(({ holder }) => holder === place.holder)
      if (own === -1) this.line.push(place)
      else this.line[own] = place
      return { granted: false, holder: this.holder, rank: this.rank(place.holder) }
    }
    return { granted: this.holder === place.holder, holder: this.holder, rank: null }
  }

  release(): void {
    const [next] = this.sorted
    this.holder = null
    if (next !== undefined) this.grant(next.holder)
  }
}

async function check(real: Real, list: Command[]): Promise<void> {
  const model = new Model()
  let stored: Stored = { holder: null, token: null, line: [] }
  const staleTokens: number[] = []

  const perform = (command: Command) => {
    if (command.kind === 'die') {
      model.holder = null
      return { text: 'SELECT public.expire_lease($name)', answer: {} }
    }
    if (command.kind === 'release stale') {
      const token = staleTokens.at(-1) ?? 1
      return { text: `SELECT elect.release_lease($name, ${token}) AS released`, answer: { released: false } }
    }
    const { kind, holder } = command
    const holds = model.holder === holder
    if (kind === 'ask') {
      const { wait, priority } = command
      const answer = model.ask({ holder, priority }, wait)
      return {
        text: `SELECT * FROM elect.acquire_lease($name, '${holder}', '1 hour', null, ${wait}, ${priority})`,
        answer,
      }
    }
    if (kind === 'release') {
      if (!holds) return undefined
      model.release()
      return {
        text: `SELECT elect.release_lease($name, ${stored.token}) AS released`,
        answer: { released: true },
      }
    }
    if (kind === 'refresh') {
      return {
        text: `SELECT * FROM elect.refresh_candidates(ARRAY[$name], ARRAY['${holder}'])`,
        answer: { granted: holds, holder: model.holder, rank: model.rank(holder) },
      }
    }
    model.leave(holder)
    if (kind === 'abandon') return { text: `SELECT public.expire_place($name, '${holder}')`, answer: {} }
    return {
      text: `SELECT coalesce(granted, false) AS granted FROM elect.leave_queue($name, '${holder}')`,
      answer: { granted: holds },
    }
  }

  for (const command of list) {
    const before = { ...stored, term: model.term }
    const expected = perform(command)
    if (expected === undefined) continue
    const seen = await real.step(expected.text)
    stored = seen.state as Stored
    expect(seen.answer).toMatchObject(expected.answer)
    expect({ holder: stored.holder, line: stored.line }).toEqual({ holder: model.holder, line: model.sorted })
    // A new token for each grant, larger than the last one; and none without a grant.
    if (model.term === before.term) expect(stored.token).toBe(before.token)
    else {
      expect(stored.token).toBeGreaterThan(before.token ?? 0)
      if (before.token !== null) staleTokens.push(before.token)
    }
  }
}

testModel('a mutex', commands, look, check)
