/** A session that calls functions, alone or in transactions, and looks whether a refused call has changed anything. */
import pg from 'pg'
import type { Callable } from './functions.ts'
import type { Value, Values } from './values.ts'
import type { Kind, World } from './world.ts'

const ISOLATIONS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const

/** Who is thrown out by force_release, or meets the end of its transaction's time. */
const LOST = ['57P01', '25P03', '25P04', 'closed']

interface Transaction {
  readonly isolation: (typeof ISOLATIONS)[number]
  readonly isReadOnly: boolean
  callsLeft: number
}

/** What came of a call. */
export interface Outcome {
  readonly call: string
  readonly code: string
  readonly tookMs: number
  readonly wrong: readonly string[]
}

export class Caller {
  readonly kind: Kind
  readonly #world: World
  #client: pg.Client | undefined
  #transaction: Transaction | undefined

  constructor(world: World, kind: Kind) {
    this.#world = world
    this.kind = kind
  }

  get isInTransaction(): boolean {
    return this.#transaction !== undefined
  }

  /**
   * Calls the function once, in a transaction that is open or may be begun.
   *
   * @param isAlone - whether nobody else calls meanwhile: then what it has written can be seen
   */
  async call(callable: Callable, values: Values, isAlone = true): Promise<Outcome> {
    const client = await this.#connected()
    if (this.#transaction === undefined && values.chance(0.2)) await this.#begin(client, values)
    const transaction = this.#transaction
    const { text, parameters, told } = write(callable, values)
    const call = `${this.kind}${transaction ? ` at ${transaction.isolation}${transaction.isReadOnly ? ' READ ONLY' : ''}` : ''}: ${told}`
    if (/^(grant|revoke)_access/.test(told)) this.#world.areRightsKnown = false
    const wrong: string[] = []
    // Every second time: looking takes longer than calling.
    const isCompared = isAlone && values.chance(0.5)
    let before = ''
    try {
      if (transaction !== undefined) await client.query('SAVEPOINT call')
      if (isCompared) before = await fingerprint(client)
    } catch (error) {
      // Its time was over, or it was thrown out, before this call.
      this.#lose(error, wrong)
      return { call, code: codeOf(error), tookMs: 0, wrong }
    }
    const startMs = performance.now()
    let code = '00000'
    let isRefused = false
    try {
      const { rows } = await client.query<Record<string, unknown>>(text, parameters)
      isRefused = rows.length > 0 && rows.every(refuses)
    } catch (error) {
      code = codeOf(error)
      const allowed = [
        ...callable.documented,
        ...alwaysAllowed(this.kind === 'admin' && this.#world.areRightsKnown, transaction),
      ]
      if (LOST.includes(code)) {
        this.#lose(error, wrong)
        return { call, code, tookMs: performance.now() - startMs, wrong }
      }
      if (!allowed.includes(code)) wrong.push(`raised ${code}: ${(error as Error).message}`)
    }
    const tookMs = performance.now() - startMs
    try {
      if (transaction !== undefined && code !== '00000') await client.query('ROLLBACK TO SAVEPOINT call')
      const mayWrite = MAY_WRITE.test(told) || before.startsWith(SESSION_ENDS)
      if (isCompared && (code !== '00000' || (isRefused && !mayWrite))) {
        let after = withPart(await fingerprint(client), before, 0)
        // A "no" in a transaction keeps its advisory lock to the end, as every lock is.
        if (code === '00000' && transaction !== undefined) after = withPart(after, before, LOCKS_PART)
        if (after !== before)
          wrong.push(`was refused (${code}) and yet has written: ${difference(before, after)}`)
      }
      if (transaction !== undefined && --transaction.callsLeft <= 0) await this.#end(client, values)
    } catch (error) {
      this.#lose(error, wrong)
    }
    return { call, code, tookMs, wrong }
  }

  /** Gives up what the session keeps: it would be in the way of all others. */
  async letGo(): Promise<void> {
    const client = await this.#connected()
    try {
      if (this.#transaction !== undefined) await client.query('ROLLBACK')
      this.#transaction = undefined
      await client.query('SELECT pg_advisory_unlock_all()')
      await client.query('UNLISTEN *')
    } catch (error) {
      this.#lose(error, [])
    }
  }

  async close(): Promise<void> {
    await this.#client?.end().catch(() => {})
  }

  async #connected(): Promise<pg.Client> {
    this.#client ??= await this.#world.connect(this.kind)
    return this.#client
  }

  async #begin(client: pg.Client, values: Values): Promise<void> {
    const isolation = values.pick(ISOLATIONS)
    const isReadOnly = values.chance(0.1)
    await client.query(`BEGIN ISOLATION LEVEL ${isolation} ${isReadOnly ? 'READ ONLY' : ''}`)
    this.#transaction = { isolation, isReadOnly, callsLeft: values.pick([1, 2, 3, 4]) }
  }

  async #end(client: pg.Client, values: Values): Promise<void> {
    const { isolation } = this.#transaction as Transaction
    this.#transaction = undefined
    try {
      await client.query(values.chance(0.8) ? 'COMMIT' : 'ROLLBACK')
    } catch (error) {
      if (codeOf(error) !== '40001' || isolation === 'READ COMMITTED') throw error
    }
  }

  #lose(error: unknown, wrong: string[]): void {
    const code = codeOf(error)
    // Any statement at SERIALIZABLE may be the one that shows that the transaction cannot be had.
    const isExpected =
      LOST.includes(code) || (code === '40001' && this.#transaction?.isolation === 'SERIALIZABLE')
    if (!isExpected) wrong.push(`${code} outside of the call: ${(error as Error).message}`)
    this.#client?.connection.stream.destroy()
    this.#client = undefined
    this.#transaction = undefined
  }
}

/** What the server itself raises: for a missing right, for a snapshot that is too old, for a transaction that may not write. */
function alwaysAllowed(mayAll: boolean, transaction: Transaction | undefined): string[] {
  return [
    ...(mayAll ? [] : ['42501']),
    ...(transaction === undefined || transaction.isolation === 'READ COMMITTED' ? [] : ['40001']),
    ...(transaction?.isReadOnly ? ['25006'] : []),
  ]
}

/**
 * Whose "no" may have written: who stands in line writes its place, the first who asks for a share keeps the capacity, who leaves a line lets
 * others in, and what has run out is found by the way.
 */
const MAY_WRITE = /wait => .*true|^take_over|^transfer_lease|^leave_queue|^acquire_share|_queued/

/** How a fingerprint begins while a session runs out: whoever finds it so ends it, and may then be refused for another reason. */
const SESSION_ENDS = 'ends'

/** Whether a row says that nothing was done. */
function refuses(row: Record<string, unknown>): boolean {
  if ('granted' in row) return row.granted !== true
  const [only, ...others] = Object.values(row)
  return others.length === 0 && only === false
}

function write(callable: Callable, values: Values): { text: string; parameters: unknown[]; told: string } {
  const given: { name: string; value: Value }[] = []
  for (const argument of callable.arguments) {
    if (argument.isOptional && values.chance(0.4)) continue
    given.push({ name: argument.name, value: values.of(argument) })
  }
  const list = (show: (value: Value, place: number) => string) =>
    given.map(({ name, value }, place) => `${name} => ${show(value, place)}`).join(', ')
  return {
    text: `SELECT * FROM elect.${callable.name}(${list((value, place) => value.sql(`$${place + 1}`))})`,
    parameters: given.map(({ value }) => value.value),
    told: `${callable.name}(${list((value) => value.sql(abbreviated(value.value)))})`,
  }
}

function abbreviated(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length <= 120 ? text : `${text.slice(0, 60)}… of ${text.length}`
}

async function fingerprint(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ fingerprint: string }>('SELECT public.fingerprint()')
  return rows[0]?.fingerprint ?? ''
}

/** The advisory locks, before the channels. */
const LOCKS_PART = -2

function withPart(fingerprint: string, other: string, part: number): string {
  return fingerprint
    .split(' ')
    .with(part, other.split(' ').at(part) ?? '')
    .join(' ')
}

/** Which parts of two fingerprints differ. */
function difference(before: string, after: string): string {
  const [one, other] = [before.split(' '), after.split(' ')]
  return one.flatMap((part, place) => (part === other[place] ? [] : [`part ${place}`])).join(', ')
}

export function codeOf(error: unknown): string {
  if (error instanceof pg.DatabaseError && error.code !== undefined) return error.code
  const message = error instanceof Error ? error.message : String(error)
  return /terminated|not queryable|ECONNRESET|EPIPE|was closed/i.test(message) ? 'closed' : message
}
