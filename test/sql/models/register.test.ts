import fc from 'fast-check'
import { expect } from 'vitest'
import { type Real, testModel } from './model.ts'

interface Swap {
  readonly kind: 'swap'
  readonly next: string | null
  /** What it is expected to be; `true`: what it is. */
  readonly current: string | null | true
  readonly ttl: boolean
}
interface SwapVersion {
  readonly kind: 'version'
  readonly next: string | null
  /** How far before the newest version; null: version 0, which expects it to be empty. */
  readonly behind: number | null
  readonly ttl: boolean
}
type Command = Swap | SwapVersion | { readonly kind: 'expire' }

const value = fc.constantFrom('x', 'y', null)
const common = { next: fc.constantFrom('x', 'x', 'y', 'y', null), ttl: fc.boolean() }
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('swap' as const),
        ...common,
        current: fc.oneof(fc.constant(true as const), value),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('version' as const),
        ...common,
        behind: fc.constantFrom(0, 0, 0, 1, null),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
  ),
  { minLength: 1, maxLength: 20 },
)

const look = `SELECT jsonb_build_object(
  'value', (SELECT holder FROM elect.get_lease($name)),
  'version', (SELECT version FROM elect.leases WHERE name = $name),
  'token', (SELECT token FROM elect.leases WHERE name = $name))`

interface Stored {
  readonly value: string | null
  readonly version: number | null
  readonly token: number | null
}

/** The whole of it: a value, whether it may run out, and how often it was written. */
class Model {
  value: string | null = null
  runsOut = false
  writes = 0

  write(next: string | null, ttl: boolean): void {
    // Emptying what is empty is no write.
    if (next === null && this.value === null) return
    // The same value again is kept for longer; one that is kept for ever stays so.
    this.runsOut = next === this.value ? ttl && this.runsOut : ttl
    this.value = next
    this.writes += 1
  }

  expire(): void {
    if (this.runsOut) this.value = null
  }
}

const literal = (text: string | null) => (text === null ? 'null' : `'${text}'`)

async function check(real: Real, list: Command[]): Promise<void> {
  const model = new Model()
  let stored: Stored = { value: null, version: null, token: null }
  for (const command of list) {
    const before = { ...stored, writes: model.writes, value: model.value }
    if (command.kind === 'expire') {
      model.expire()
      stored = (await real.step('SELECT public.expire_lease($name)')).state as Stored
    } else {
      const next = literal(command.next)
      const ttl = command.ttl ? "'1 hour'" : 'null'
      if (command.kind === 'swap') {
        const current = command.current === true ? model.value : command.current
        const text = `SELECT elect.compare_and_swap($name, ${next}, ${literal(current)}, ${ttl}) AS swapped`
        if (current !== null && model.value === null) {
          await expect(real.step(text)).rejects.toMatchObject({ code: 'LE002' })
          continue
        }
        const swapped = current === model.value
        if (swapped) model.write(command.next, command.ttl)
        const seen = await real.step(text)
        expect(seen.answer.swapped).toBe(swapped)
        stored = seen.state as Stored
      } else {
        const version = command.behind === null ? 0 : Math.max((stored.version ?? 0) - command.behind, 0)
        const fits = version === 0 ? model.value === null : version === stored.version
        if (fits) model.write(command.next, command.ttl)
        const seen = await real.step(
          `SELECT elect.compare_and_swap_version($name, ${next}, ${version}, ${ttl}) AS version`,
        )
        stored = seen.state as Stored
        expect(seen.answer.version).toBe(fits ? (stored.version ?? 0) : null)
      }
    }
    expect(stored.value).toBe(model.value)
    // The version counts the writes, from the first token on; the token grows with each new value.
    if (before.version !== null) expect(stored.version).toBe(before.version + model.writes - before.writes)
    const isNew = model.value !== null && model.writes > before.writes && model.value !== before.value
    if (isNew) expect(stored.token).toBeGreaterThan(before.token ?? 0)
    else expect(stored.token).toBe(before.token)
  }
}

testModel('a register', commands, look, check)
