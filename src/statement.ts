/**
 * One statement on the control connection, as the driver's own query, but that what the driver does each time is done once.
 *
 * The driver asks with each execution what the columns are. Of a prepared statement they stay the same for as long as it lives (the server
 * would rather fail, with 0A000), so what the first answer said of them serves the later ones: about half as much is sent back.
 */
import pg from 'pg'

export interface StatementRequest {
  /** What it is prepared as; undefined: it is not. In one session a name stands for one text. */
  readonly name: string | undefined
  readonly text: string
  readonly values: readonly unknown[]
  /** How long it may stay unanswered. On its expiry the driver destroys the socket, as what is behind it in the pipeline waits for ever. */
  readonly timeoutMs: number
}

/** @returns its rows. @throws as the driver does. */
export function send<Row>(client: pg.Client, request: StatementRequest): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    const statement = new Statement(request, (error) => {
      if (error) return reject(error)
      try {
        resolve(statement.answer() as Row[])
      } catch (unreadable) {
        reject(unreadable)
      }
    })
    client.query(statement as unknown as pg.Submittable)
  })
}

type Values = readonly (string | null)[]
type Callback = (error: Error | null | undefined) => void

interface Column {
  readonly name: string
  readonly read: (text: string) => unknown
}

/** How to read the types that come back: bool, int4, float8 and jsonb; all others are text. */
const READERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  23: Number,
  701: Number,
  3802: JSON.parse,
}

/** What of the driver's query and connection is used here: more than its types tell. */
interface Query {
  readonly name: string | undefined
  readonly values: Values
  submit(wire: Wire): unknown
}
interface Wire {
  readonly stream: { cork(): void; uncork(): void }
  bind(bound: { statement: string; values: Values }): void
  execute(): void
  sync(): void
}
const DriverQuery = pg.Query as unknown as new (text: string, values: Values, callback: Callback) => Query

/** What is known of the statements that are prepared in a session, by their names. */
const described = new WeakMap<Wire, Map<string, readonly Column[]>>()

class Statement extends DriverQuery {
  override readonly name: string | undefined
  /** Read by the driver, which keeps the time. */
  readonly query_timeout: number
  readonly #answers: Values[] = []
  #columns: readonly Column[] = []
  #known: Map<string, readonly Column[]> | undefined

  constructor({ name, text, values, timeoutMs }: StatementRequest, callback: Callback) {
    super(text, values.map(toText), callback)
    this.name = name
    this.query_timeout = Math.max(1, Math.ceil(timeoutMs))
  }

  answer(): object[] {
    return this.#answers.map((texts) => toRow(this.#columns, texts))
  }

  override submit(wire: Wire): unknown {
    const { name } = this
    if (name === undefined) return super.submit(wire)
    this.#known = described.get(wire)
    if (this.#known === undefined) {
      this.#known = new Map()
      described.set(wire, this.#known)
    }
    const columns = this.#known.get(name)
    if (columns === undefined) return super.submit(wire)
    this.#columns = columns
    wire.stream.cork()
    wire.bind({ statement: name, values: this.values })
    wire.execute()
    wire.sync()
    wire.stream.uncork()
    return null
  }

  // From here on called by the driver.

  handleRowDescription({ fields }: { fields: readonly { name: string; dataTypeID: number }[] }): void {
    this.#columns = fields.map(({ name, dataTypeID }) => ({ name, read: READERS[dataTypeID] ?? String }))
    if (this.name !== undefined) this.#known?.set(this.name, this.#columns)
  }

  handleDataRow({ fields }: { fields: Values }): void {
    this.#answers.push(fields)
  }

  /** Its tag tells nothing that anybody asks for. */
  handleCommandComplete(): void {}
}

function toRow(columns: readonly Column[], texts: Values): object {
  const row: Record<string, unknown> = {}
  for (let place = 0; place < columns.length; place++) {
    const { name, read } = columns[place] as Column
    const text = texts[place] as string | null
    row[name] = text === null ? null : read(text)
  }
  return row
}

/** A value in the server's text form. */
function toText(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return null
  return Array.isArray(value) ? `{${value.map(toElement).join()}}` : String(value)
}

function toElement(value: unknown): string {
  const text = toText(value)
  return text === null ? 'NULL' : `"${SPECIAL.test(text) ? text.replaceAll(SPECIALS, '\\$&') : text}"`
}

/** What is escaped in an element of an array. */
const SPECIAL = /["\\]/
const SPECIALS = /["\\]/g
