import type pg from 'pg'
import { oneRow, rowsOf } from './leases.ts'

/** The answer of `begin_operation`. */
export interface Begun {
  state: string
  idempotency_key: string
  attempt: number
  result: unknown
  error: unknown
}

/** The operations of one lease, as the leader with that token asks for them. */
export class Ledger {
  readonly #client: pg.Client
  readonly lease: string
  readonly token: number

  constructor(client: pg.Client, lease: string, token: number) {
    this.#client = client
    this.lease = lease
    this.token = token
  }

  begin(key: string, retryFailed = true): Promise<Begun> {
    const text = 'SELECT * FROM elect.begin_operation($1, $2, $3, $4)'
    return oneRow<Begun & pg.QueryResultRow>(this.#client, text, [this.lease, this.token, key, retryFailed])
  }

  async finish(key: string, result: unknown = null): Promise<void> {
    const text = 'SELECT elect.finish_operation($1, $2, $3, $4)'
    await this.#client.query(text, [this.lease, this.token, key, toJson(result)])
  }

  async fail(key: string, error: unknown = null): Promise<void> {
    const text = 'SELECT elect.fail_operation($1, $2, $3, $4)'
    await this.#client.query(text, [this.lease, this.token, key, toJson(error)])
  }

  /** The row as the owner sees it, if there is one. */
  stored(key: string): Promise<pg.QueryResultRow[]> {
    const text = 'SELECT *, token::float8 FROM elect.operations WHERE lease = $1 AND operation_key = $2'
    return rowsOf(this.#client, text, [this.lease, key])
  }
}

function toJson(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value)
}
