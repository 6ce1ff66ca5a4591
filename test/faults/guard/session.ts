import pg from 'pg'

/** The SQLSTATE of what went wrong; `closed` where the connection ended without one. */
export function codeOf(error: unknown): string {
  if (error instanceof pg.DatabaseError && error.code !== undefined) return error.code
  const message = error instanceof Error ? error.message : String(error)
  const isLoss = /Connection terminated|not queryable|ECONNRESET|EPIPE|Client was closed/i.test(message)
  if (isLoss) return 'closed'
  throw error
}

export interface OpenTransaction {
  failed: boolean
  savepoint: boolean
  /** The token that its check has found to lead. */
  proved: number | undefined
  /** The same at the savepoint: what rolls back to it loses what was proved since. */
  provedBefore: number | undefined
}

/** One session, which does what it is told one after the other, and connects again after it was killed. */
export class Session {
  readonly #connect: () => Promise<pg.Client>
  #client: pg.Client | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #queued = 0
  pid = 0
  /** Gone with the connection. */
  transaction: OpenTransaction | undefined
  /** What has been granted in a transaction that is not committed yet; gone with the connection, too. */
  openGrant: { token: number | undefined } | undefined

  constructor(connectionString: string) {
    this.#connect = async () => {
      const client = new pg.Client({ connectionString })
      client.on('error', () => {})
      client.on('end', () => {
        if (this.#client === client) this.#forget()
      })
      await client.connect()
      return client
    }
  }

  get busy(): boolean {
    return this.#queued > 0
  }

  /** Queues work; it resolves when the work is done, and never rejects but by a defect. */
  does(work: () => Promise<void>): Promise<void> {
    this.#queued += 1
    const done = this.#tail.then(work).finally(() => {
      this.#queued -= 1
    })
    this.#tail = done.catch(() => {})
    return done
  }

  async query<Row extends pg.QueryResultRow>(
    text: string,
    values: unknown[] = [],
  ): Promise<pg.QueryResult<Row>> {
    const client = this.#client ?? (await this.open())
    return client.query<Row>(text, values)
  }

  async open(): Promise<pg.Client> {
    const client = await this.#connect()
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    this.pid = rows[0]?.pid ?? 0
    this.#client = client
    return client
  }

  async close(): Promise<void> {
    const client = this.#client
    this.#forget()
    await client?.end().catch(() => {})
  }

  #forget(): void {
    this.#client = undefined
    this.transaction = undefined
    this.openGrant = undefined
    this.pid = 0
  }
}
