import pg from 'pg'
import { connectTo } from './primary-session.ts'

/** What became of stale writes. */
export interface StaleOutcome {
  /** By the guard (LE001), or as the server was read-only by then. */
  readonly refused: number
  /** The connection broke before there was an answer. */
  readonly unanswered: number
  /** What the old primary committed on its own timeline, which nobody else has. */
  readonly accepted: readonly string[]
}

const ANSWER_TIMEOUT_MS = 20_000
const INSISTENCE_MS = 10_000
const READ_ONLY = '25006'

/**
 * An old leader on an old primary, at its worst: it sleeps with the primary in a guarded transaction that lacks only its commit, and when
 * both wake up it commits as if no time had passed, and writes more besides, with nothing but SQL and the old token.
 */
export class StaleWriter {
  readonly #server: string
  readonly #election: string
  readonly #token: number
  readonly #name: string
  readonly #asleep: pg.Client
  readonly #late: pg.Client

  private constructor(
    server: string,
    election: string,
    token: number,
    name: string,
    sessions: [pg.Client, pg.Client],
  ) {
    this.#server = server
    this.#election = election
    this.#token = token
    this.#name = name
    ;[this.#asleep, this.#late] = sessions
  }

  /** Begins while the token still leads. */
  static async begin(server: string, election: string, token: number, name: string): Promise<StaleWriter> {
    const [asleep, late] = await Promise.all([connectTo(server), connectTo(server)])
    await asleep.query('BEGIN')
    await asleep.query('SELECT elect.assert_lease($1, $2)', [election, token])
    await asleep.query('INSERT INTO writes (id, token) VALUES ($1, $2)', [`${name}-asleep`, token])
    return new StaleWriter(server, election, token, name, [asleep, late])
  }

  /** To be called while the primary is stopped: what is sent now waits in its sockets. Resolves once it answers no more as a primary. */
  async insist(): Promise<StaleOutcome> {
    const outcome = { refused: 0, unanswered: 0, accepted: [] as string[] }
    const token = this.#token
    let isReadOnly = false
    const settle = async (id: string, client: pg.Client, text: string) => {
      try {
        const { command } = await client.query({ text, query_timeout: ANSWER_TIMEOUT_MS } as pg.QueryConfig)
        // What a COMMIT says of a transaction that had failed before.
        if (command === 'ROLLBACK') outcome.refused += 1
        else outcome.accepted.push(id)
      } catch (error) {
        // A fatal error ends the connection, and may come in the place of an answer.
        const isAnswer = error instanceof pg.DatabaseError && error.severity === 'ERROR'
        outcome[isAnswer ? 'refused' : 'unanswered'] += 1
        isReadOnly = isAnswer && error.code === READ_ONLY
      } finally {
        client.end().catch(() => {})
      }
    }
    // Sent as one, and so one transaction.
    const guarded = (id: string) =>
      `SELECT elect.assert_lease('${this.#election}', ${token}); INSERT INTO writes (id, token) VALUES ('${id}', ${token})`
    const lateId = `${this.#name}-late`
    await Promise.all([
      settle(`${this.#name}-asleep`, this.#asleep, 'COMMIT'),
      settle(lateId, this.#late, guarded(lateId)),
    ])
    // The moment in which the old primary is awake and has not noticed yet.
    const untilMs = performance.now() + INSISTENCE_MS
    for (let count = 1; !isReadOnly && performance.now() < untilMs; count += 1) {
      const client = await connectTo(this.#server).catch(() => undefined)
      if (client === undefined) break
      const id = `${lateId}-${count}`
      await settle(id, client, guarded(id))
    }
    return outcome
  }
}
