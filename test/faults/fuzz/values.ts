/** Values for the arguments of a call: valid ones, those at a limit, and nasty ones. All of them are values of their types. */
import type { Random } from '../../../src/jitter.ts'

/** What exists in the database, to be named. */
export interface Known {
  readonly leases: readonly {
    readonly name: string
    readonly token: string
    readonly holder: string | null
  }[]
  readonly sessions: readonly string[]
  readonly roles: readonly string[]
  readonly tables: readonly string[]
  /** Intervals can be infinite from PostgreSQL 17 on. */
  readonly hasInfiniteIntervals: boolean
}

export interface Argument {
  readonly name: string
  readonly type: string
}

/** As the driver takes it, with the SQL that stands for it: `$1`, with the number filled in later. */
export interface Value {
  readonly sql: (place: string) => string
  readonly value: unknown
}

const NAMES = [
  'a',
  'b',
  'c',
  'billing',
  'Ünïcödé 🗳',
  `quote's "and" \\back`,
  '..',
  'x'.repeat(180),
  'y'.repeat(200),
]
const HOLDERS = ['one', 'two', 'three', 'h'.repeat(500), '💡'.repeat(125), ' ']
const NASTY_TEXT = [
  '',
  ' ',
  '\t\n',
  '%s %I %L $1 \\',
  `'; DROP SCHEMA elect; --`,
  '\u0001\u007f\u0085\u2028\ufeff',
  '\u202eright to left',
  'e\u0301',
  'z'.repeat(201),
  'ä'.repeat(251),
  'h'.repeat(501),
  'huge '.repeat(200_000),
  'null',
  'NaN',
  'user',
  'admin',
  'reader',
]
const INTERVALS = [
  '100 milliseconds',
  '150 milliseconds',
  '250 milliseconds',
  '1 second',
  '15 seconds',
  '24 hours',
  '99.999 milliseconds',
  '0',
  '1 microsecond',
  '-1 second',
  '24 hours 1 microsecond',
  '1 day',
  '1 month -30 days',
  '-1 month 31 days',
  '1 day -23:59:59',
  '2 days -48:00:00.1',
  '100 years',
  '100 years 1 second',
  '178000000 years',
  '-178000000 years',
  '2147483647 days 2562047788:00:54.775807',
]
const INTEGERS = ['0', '1', '2', '3', '-1', '2147483647', '-2147483648', '100']
const BIGINTS = [
  '0',
  '1',
  '-1',
  '42',
  '9007199254740991',
  '9007199254740993',
  '9223372036854775807',
  '-9223372036854775808',
]
const DOCUMENTS = [
  '{}',
  'null',
  '"text"',
  '{"address": "10.0.0.1"}',
  '1e400',
  '[]',
  `{"a": "${'x'.repeat(4_070)}"}`,
  `{"a": "${'x'.repeat(4_200)}"}`,
  `"${'x'.repeat(300_000)}"`,
  `${'['.repeat(500)}${']'.repeat(500)}`,
  '{"\\ud83d\\ude00": [1, null, true, {"": ""}]}',
]
const MOMENTS = [
  'now',
  'epoch',
  'infinity',
  '-infinity',
  '4713-01-01 00:00:00 BC',
  '294276-12-31 23:59:59.999999',
]

const UUIDS = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']

const LENGTHS = [0, 1, 1, 2, 2, 3, 5, 40]

export class Values {
  readonly #random: Random
  readonly #known: Known
  /** The lease that the whole call is about, so that names fit tokens and holders. */
  readonly #subject: Known['leases'][number] | undefined

  /** How long most arrays of the call are: those that belong together have to be as long. */
  readonly #length: number

  /** Values for one call. */
  constructor(random: Random, known: Known) {
    this.#random = random
    this.#known = known
    this.#subject = this.chance(0.6) ? this.pick(known.leases) : undefined
    this.#length = this.pick(LENGTHS)
  }

  chance(part: number): boolean {
    return this.#random() < part
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T
  }

  of({ name, type }: Argument): Value {
    if (type.endsWith('[]')) return this.#array(name, type)
    if (this.chance(0.04)) return plain(type, null)
    switch (type) {
      case 'elect.leases':
        return { sql: (place) => `public.some_lease(${place}::text)`, value: this.pick(NAMES) }
      case 'pg_trigger':
        return {
          sql: (place) => `(SELECT t FROM pg_trigger t ORDER BY oid OFFSET ${place}::integer LIMIT 1)`,
          value: this.pick([0, 1, 2, 3, 1000]),
        }
      default:
        return plain(type, this.#scalar(name, type))
    }
  }

  #scalar(name: string, type: string): string | null {
    const { roles, tables } = this.#known
    switch (type) {
      case 'text':
        return this.#text(name)
      case 'interval':
        return this.#interval()
      case 'integer':
        // So many rows would be answered: not to be tried on a machine that is to be used again.
        return name === 'partitions' ? this.pick(['-1', '0', '1', '7', '1000']) : this.pick(INTEGERS)
      case 'bigint':
        return this.#bigint()
      case 'uuid':
        return this.#uuid()
      case 'boolean':
        return this.pick(['true', 'false'])
      case 'jsonb':
        return this.pick(DOCUMENTS)
      case 'timestamp with time zone':
        return this.pick(MOMENTS)
      case 'regclass':
        return this.pick([...tables, '0', '999999999'])
      case 'regrole':
        return this.pick([...roles, '0', '999999999'])
      default:
        return null
    }
  }

  #text(name: string): string {
    if (this.chance(0.12)) return this.pick(NASTY_TEXT)
    if (this.#subject !== undefined && /^(name|names|lease|key)$/.test(name)) return this.#subject.name
    if (this.#subject?.holder && /^(holder|holders|current)$/.test(name) && this.chance(0.6))
      return this.#subject.holder
    if (/holder|member|successor|candidate|next|current/.test(name)) return this.pick(HOLDERS)
    // Few, so that what was begun is finished, too.
    if (name === 'operation_key') return this.pick(['one', 'two'])
    if (name === 'kind') return this.pick(['user', 'reader', 'admin', 'User', 'owner'])
    // Most of the time among few names, so that calls meet.
    return this.chance(0.7) ? this.pick(NAMES.slice(0, 4)) : this.pick(NAMES)
  }

  #interval(): string {
    if (this.#known.hasInfiniteIntervals && this.chance(0.05)) return this.pick(['infinity', '-infinity'])
    return this.chance(0.6) ? this.pick(INTERVALS.slice(0, 5)) : this.pick(INTERVALS)
  }

  #bigint(): string {
    if (this.chance(0.2)) return this.pick(BIGINTS)
    const { token } = this.#subject ?? this.pick(this.#known.leases) ?? { token: this.pick(BIGINTS) }
    return this.chance(0.9) ? token : String(BigInt.asIntN(64, BigInt(token) + BigInt(this.pick([-1, 1]))))
  }

  #uuid(): string | null {
    const { sessions } = this.#known
    if (sessions.length === 0 || this.chance(0.1)) return this.pick([...UUIDS, null])
    return this.pick(sessions)
  }

  #array(name: string, type: string): Value {
    if (this.chance(0.04)) return plain(type, null)
    const length = this.chance(0.9) ? this.#length : this.pick(LENGTHS)
    const element = type.slice(0, -2)
    const items = Array.from({ length }, () => (this.chance(0.05) ? null : this.#scalar(name, element)))
    // Two dimensions are a value of the same type.
    return plain(type, this.chance(0.03) ? [items, items] : items)
  }
}

function plain(type: string, value: unknown): Value {
  return { sql: (place) => `${place}::${type}`, value }
}
