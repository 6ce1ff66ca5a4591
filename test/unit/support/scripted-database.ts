import { EventEmitter } from 'node:events'
import type { CompiledQuery } from 'kysely'
import { ConnectionError } from '../../../src/errors.ts'
import type { ExecuteOptions, Executor } from '../../../src/queries.ts'
import type { StubClock } from './stub-clock.ts'

/** One call of a function of schema `elect`. */
export interface Call {
  /** The function, without its schema; `pg_backend_pid` for that one. */
  readonly name: string
  readonly sql: string
  /** What was passed, by name. */
  readonly arguments: Readonly<Record<string, unknown>>
  readonly timeoutMs: number | undefined
  /** By the world's clock. */
  readonly sentAtMs: number
  /** Calls of one number went out as one statement. */
  readonly statement: number
}

/** What the server does with a call: rows, an error, or something that it does now and answers later. */
export type Answer =
  | readonly object[]
  | Error
  | ((call: Call) => readonly object[] | Promise<readonly object[]>)

/** A call that waits for its answer. */
export interface Held {
  readonly call: Call
  answer(...rows: object[]): void
  fail(error: Error): void
}

/**
 * A connection that answers as a test says: with what was scripted for the next calls of a function, or else with what it always
 * answers. Everything that was asked is kept.
 */
export class ScriptedDatabase
  extends EventEmitter<{ lost: []; notified: [channel: string, message: string] }>
  implements Executor
{
  readonly calls: Call[] = []
  isBehindPooler = false
  /** What is unanswered for as long as its caller said fails, as with the real connection. */
  keepsTimeouts = true
  /** What lies between this process and the server: it can delay a statement, and lose it before or after it was served. */
  network = (serve: () => Promise<readonly object[]>): Promise<readonly object[]> => serve()
  readonly #clock: StubClock
  readonly #always = new Map<string, Answer>()
  readonly #scripts = new Map<string, Answer[]>()
  readonly #inFlight = new Map<string, number>()
  readonly #inFlightMax = new Map<string, number>()
  #statements = 0

  constructor(clock: StubClock, always: Readonly<Record<string, Answer>> = {}) {
    super()
    this.#clock = clock
    for (const [name, answer] of Object.entries(always)) this.always(name, answer)
  }

  /** Each call of that function is answered so, unless something was scripted for it. */
  always(name: string, answer: Answer): void {
    this.#always.set(name, answer)
  }

  /** The next calls of that function are answered so, one after the other. */
  next(name: string, ...answers: Answer[]): void {
    this.#scripts.set(name, [...(this.#scripts.get(name) ?? []), ...answers])
  }

  /** The next call of that function waits until the test answers it. */
  hold(name: string): Promise<Held> {
    return new Promise((resolveHeld) => {
      this.next(name, (call) => {
        return new Promise<readonly object[]>((resolve, reject) => {
          resolveHeld({ call, answer: (...rows) => resolve(rows), fail: reject })
        })
      })
    })
  }

  async execute<Row>(query: CompiledQuery<Row>, options: ExecuteOptions = {}): Promise<Row[]> {
    this.#statements += 1
    const calls = callsIn(query, {
      timeoutMs: options.timeoutMs,
      sentAtMs: this.#clock.trueMs,
      statement: this.#statements,
    })
    this.calls.push(...calls)
    for (const { name } of calls) {
      this.#inFlight.set(name, this.inFlight(name) + 1)
      this.#inFlightMax.set(name, Math.max(this.inFlight(name), this.inFlightMax(name)))
    }
    try {
      return (await this.#inTime(
        this.network(() => this.#serve(calls)),
        calls,
      )) as Row[]
    } finally {
      for (const { name } of calls) this.#inFlight.set(name, this.inFlight(name) - 1)
    }
  }

  async isPooled(): Promise<boolean> {
    return this.isBehindPooler
  }

  callsOf(name: string): Call[] {
    return this.calls.filter((call) => call.name === name)
  }

  inFlight(name: string): number {
    return this.#inFlight.get(name) ?? 0
  }

  inFlightMax(name: string): number {
    return this.#inFlightMax.get(name) ?? 0
  }

  /** The rows of a statement are those of its functions, one after the other; if it asks for the channels, too, those stand in each row. */
  async #serve(calls: readonly Call[]): Promise<readonly object[]> {
    const rows: object[] = []
    const others = calls.filter(({ name }) => name !== CHANNELS)
    const [along] = calls.filter(({ name }) => name === CHANNELS)
    if (along !== undefined && others.length === 0) return this.#answer(along)
    const listened = along === undefined ? [] : await this.#answer(along)
    for (const call of others) rows.push(...(await this.#answer(call)))
    if (along === undefined) return rows
    const channels = listened.map((row) => (row as { channel: string }).channel)
    if (rows.length === 0) return [{ channels, is_row: null }]
    return rows.map((row) => ({ ...row, channels, is_row: true }))
  }

  async #answer(call: Call): Promise<readonly object[]> {
    const answer = this.#scripts.get(call.name)?.shift() ?? this.#always.get(call.name)
    if (answer === undefined) throw new Error(`nothing is scripted for ${call.name}`)
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(call) : answer
  }

  #inTime<T>(answer: Promise<T>, calls: readonly Call[]): Promise<T> {
    const timeoutMs = calls[0]?.timeoutMs
    const name = calls.map((call) => call.name).join(' and ')
    if (!this.keepsTimeouts || timeoutMs === undefined) return answer
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        reject(new ConnectionError(`No answer from the database: ${name} timed out`))
      }, timeoutMs)
      answer.then(resolve, reject).finally(() => timer.cancel())
    })
  }
}

/** It is passed nothing, and may be asked along with anything. */
const CHANNELS = 'get_channels'

/** A call that is never answered, as on a connection that died in silence. */
export const NEVER: Answer = () => new Promise(() => {})

/** The functions that a statement passes something to; one that is called with what another returned is part of that one. */
function callsIn(query: CompiledQuery, sent: Pick<Call, 'timeoutMs' | 'sentAtMs' | 'statement'>): Call[] {
  const functions = parsed.get(query.sql) ?? functionsIn(query.sql)
  parsed.set(query.sql, functions)
  return functions.map(({ name, passed }) => {
    const named = passed.map(([argument, place]) => [argument, query.parameters[place]] as const)
    return { ...sent, name, sql: query.sql, arguments: Object.fromEntries(named) }
  })
}

/** A function, and which parameter it is passed as which argument. */
interface CalledFunction {
  readonly name: string
  readonly passed: readonly (readonly [argument: string, place: number])[]
}

/** The client has few statements, and asks them again and again. */
const parsed = new Map<string, readonly CalledFunction[]>()

function functionsIn(sql: string): readonly CalledFunction[] {
  const parts = sql.split(/(?=elect\.\w+\(|pg_backend_pid\()/).slice(1)
  const all = parts.map((part) => ({
    name: /^(?:elect\.)?(\w+)\(/.exec(part)?.[1] as string,
    passed: [...part.matchAll(/(\w+) => \$(\d+)/g)].map(
      ([, argument, place]) => [argument as string, Number(place) - 1] as const,
    ),
  }))
  const asked = all.filter(({ name, passed }) => passed.length > 0 || name === CHANNELS)
  const [first] = all
  if (first === undefined) throw new Error(`not a call of schema elect: ${sql}`)
  return asked.length > 0 ? asked : [first]
}
