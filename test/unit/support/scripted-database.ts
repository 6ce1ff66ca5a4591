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
  extends EventEmitter<{ lost: []; notified: [channel: string] }>
  implements Executor
{
  readonly calls: Call[] = []
  isBehindPooler = false
  /** What is unanswered for as long as its caller said fails, as with the real connection. */
  keepsTimeouts = true
  readonly #clock: StubClock
  readonly #always = new Map<string, Answer>()
  readonly #scripts = new Map<string, Answer[]>()
  readonly #inFlight = new Map<string, number>()
  readonly #inFlightMax = new Map<string, number>()

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
    const call = describeCall(query, options, this.#clock.trueMs)
    this.calls.push(call)
    const inFlight = this.inFlight(call.name) + 1
    this.#inFlight.set(call.name, inFlight)
    this.#inFlightMax.set(call.name, Math.max(inFlight, this.inFlightMax(call.name)))
    try {
      return (await this.#inTime(this.#answer(call), call)) as Row[]
    } finally {
      this.#inFlight.set(call.name, this.inFlight(call.name) - 1)
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

  async #answer(call: Call): Promise<readonly object[]> {
    const answer = this.#scripts.get(call.name)?.shift() ?? this.#always.get(call.name)
    if (answer === undefined) throw new Error(`nothing is scripted for ${call.name}`)
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(call) : answer
  }

  #inTime<T>(answer: Promise<T>, { timeoutMs, name }: Call): Promise<T> {
    if (!this.keepsTimeouts || timeoutMs === undefined) return answer
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(() => {
        reject(new ConnectionError(`No answer from the database: ${name} timed out`))
      }, timeoutMs)
      answer.then(resolve, reject).finally(() => timer.cancel())
    })
  }
}

/** A call that is never answered, as on a connection that died in silence. */
export const NEVER: Answer = () => new Promise(() => {})

function describeCall(query: CompiledQuery, { timeoutMs }: ExecuteOptions, sentAtMs: number): Call {
  const name = /elect\.(\w+)\(/.exec(query.sql)?.[1] ?? /(pg_backend_pid)\(/.exec(query.sql)?.[1]
  if (name === undefined) throw new Error(`not a call of schema elect: ${query.sql}`)
  const named = [...query.sql.matchAll(/(\w+) => \$(\d+)/g)].map(
    ([, argument, place]) => [argument, query.parameters[Number(place) - 1]] as const,
  )
  return { name, sql: query.sql, arguments: Object.fromEntries(named), timeoutMs, sentAtMs }
}
