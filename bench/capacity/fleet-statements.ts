/** The statements of the simulated processes: the client's own, sent as the client sends them. */
import type pg from 'pg'

export interface Renewed {
  /** All of them were renewed; false: at least one is lost; null: another transaction was at one. */
  readonly granted: boolean | null
  /** Of the one that ends first. */
  readonly expiresInMs: number
}

export interface Granted {
  /** Undefined: not all were granted. */
  readonly tokens: number[] | undefined
  readonly session: string
  readonly expiresInMs: number
}

/** The server refuses nothing, but a grant holds an entry of its lock table for each lease. */
const GRANTED_AT_ONCE = 200

const COLUMNS =
  'granted, holder, token, version, metadata, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in_ms'
const TEXT: pg.CustomTypesConfig = { getTypeParser: () => (text: string) => text }

export class FleetStatements {
  readonly #isPrepared: boolean
  readonly #ttl: string
  /** So many were answered. */
  count = 0

  constructor({ isPrepared, ttlMs }: { isPrepared: boolean; ttlMs: number }) {
    this.#isPrepared = isPrepared
    this.#ttl = `${ttlMs} milliseconds`
  }

  async renewLeases(session: pg.Client, names: string[], tokens: number[]): Promise<Renewed> {
    const rows = await this.#ask(
      session,
      `SELECT 0 AS part, ordinality, NULL::text AS lease, ${COLUMNS}, NULL::integer AS rank FROM elect.renew_leases(names => $1::text[], tokens => $2::bigint[]) WITH ORDINALITY`,
      [names, tokens],
    )
    const answers = rows.map((row) => row[3])
    return {
      granted: answers.includes('f') ? false : answers.includes(null) ? null : true,
      expiresInMs: rows.reduce((least, row) => Math.min(least, Number(row[8])), Number.POSITIVE_INFINITY),
    }
  }

  async renewSession(session: pg.Client, id: string): Promise<Renewed> {
    const [row] = await this.#ask(
      session,
      'SELECT granted, (extract(epoch FROM expires_in) * 1000)::float8 AS expires_in_ms, must_reopen, lost_names, lost_tokens FROM elect.renew_session(session => $1::uuid)',
      [id],
    )
    return { granted: row?.[0] === null ? null : row?.[0] === 't', expiresInMs: Number(row?.[1]) }
  }

  /** One lease; `waits`: if it is refused, the candidate stands in line. */
  async acquireLease(session: pg.Client, name: string, holder: string, waits: boolean): Promise<Granted> {
    const [row] = await this.#ask(
      session,
      `SELECT ${COLUMNS}, rank FROM elect.acquire_lease(name => $1, holder => $2, ttl => $3::interval, metadata => NULL::jsonb, wait => $4::boolean)`,
      [name, holder, this.#ttl, waits],
    )
    const tokens = row?.[0] === 't' ? [Number(row[2])] : undefined
    return { tokens, session: '', expiresInMs: Number(row?.[5] ?? 0) }
  }

  /** All leases of a process. */
  async acquireLeases(
    session: pg.Client,
    names: readonly string[],
    holder: string,
    isBySession: boolean,
  ): Promise<Granted> {
    const opened = isBySession ? await this.#openSession(session, holder) : null
    const rows: (string | null)[][] = []
    for (let from = 0; from < names.length; from += GRANTED_AT_ONCE) {
      const some = names.slice(from, from + GRANTED_AT_ONCE)
      const granted = await this.#ask(
        session,
        `SELECT ${COLUMNS}, rank FROM elect.acquire_leases(names => $1::text[], holders => $2::text[], ttls => $3::interval[], metadata_list => NULL::jsonb[], session => $4::uuid)`,
        [some, some.map(() => holder), some.map(() => this.#ttl), opened],
      )
      rows.push(...granted)
    }
    const isWhole = rows.every((row) => row[0] === 't')
    const expiresInMs = rows.map((row) => Number(row[5] ?? 0))
    return {
      tokens: isWhole ? rows.map((row) => Number(row[2])) : undefined,
      session: opened ?? '',
      expiresInMs: Math.min(...expiresInMs),
    }
  }

  /** Keeps a place in line. */
  async refreshCandidate(session: pg.Client, name: string, candidate: string): Promise<void> {
    await this.#ask(
      session,
      `SELECT 1 AS part, ordinality, lease, ${COLUMNS}, rank FROM elect.refresh_candidates(names => $1::text[], holders => $2::text[], backend => NULL::integer) WITH ORDINALITY`,
      [[name], [candidate]],
    )
  }

  /** Looks how it stands in line. */
  async getCandidacy(session: pg.Client, name: string, candidate: string): Promise<void> {
    await this.#ask(
      session,
      `SELECT lease, ${COLUMNS}, rank FROM elect.get_candidacy(name => $1, holder => $2)`,
      [name, candidate],
    )
  }

  async #openSession(session: pg.Client, holder: string): Promise<string> {
    const [row] = await this.#ask(session, 'SELECT elect.open_session(holder => $1, ttl => $2::interval)', [
      holder,
      this.#ttl,
    ])
    return row?.[0] ?? ''
  }

  async #ask(session: pg.Client, text: string, values: unknown[]): Promise<(string | null)[][]> {
    const { rows } = await session.query<(string | null)[]>({
      // A name has at most 63 bytes: where the function's is, the texts differ.
      ...(this.#isPrepared && { name: text.slice(-60) }),
      text,
      values,
      rowMode: 'array',
      types: TEXT,
    })
    this.count += 1
    return rows
  }
}
