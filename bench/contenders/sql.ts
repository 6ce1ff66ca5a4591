/**
 * Contenders by the SQL functions alone, each on a connection of its own: what the client adds is seen beside them. The three ways to wait
 * share all code but for the wait itself.
 */
import type pg from 'pg'
import { connect } from '../harness/connect.ts'
import type { Contender, Release } from './contender.ts'

/** `herd`: there is no line, whoever is told of a release tries. */
export type SqlWay = 'herd' | 'line' | 'queue'

/** Who waits gives up waiting after this time and looks: notifications can be left out. */
const LOOK_MS = 500
/** A lease that changes hands at that moment takes nobody into its line, and no word of it is sent. */
const UNSETTLED_RETRY_MS = 5

const ACQUIRE: Record<SqlWay, string> = {
  herd: 'SELECT granted, token FROM elect.acquire_lease($1, $2)',
  line: 'SELECT granted, token, rank FROM elect.acquire_lease($1, $2, wait => true)',
  queue: 'SELECT granted, token FROM elect.acquire_queued($1, $2)',
}

interface Answer {
  readonly granted?: boolean | null
  readonly token?: string
  readonly rank?: number | null
}

export async function openSqlContender(
  connectionString: string,
  way: SqlWay,
  index: number,
): Promise<Contender> {
  const contender = new SqlContender(await connect(connectionString), way, index)
  await contender.prepare()
  return contender
}

class SqlContender implements Contender {
  readonly #session: pg.Client
  readonly #way: SqlWay
  readonly #holder: string
  readonly #listened = new Set<string>()
  #told = false
  #wake = () => {}

  constructor(session: pg.Client, way: SqlWay, index: number) {
    this.#session = session
    this.#way = way
    this.#holder = `contender ${index}`
    session.on('notification', () => {
      this.#told = true
      this.#wake()
    })
  }

  async prepare(): Promise<void> {
    // As the package's client does: grants raise it, all else need not wait for the disk.
    await this.#session.query('SET synchronous_commit = off')
    if (this.#way === 'line') await this.#session.query('SELECT elect.listen_here()')
  }

  async acquire(name: string): Promise<Release> {
    if (this.#way === 'herd' && !this.#listened.has(name)) {
      await this.#session.query('SELECT elect.listen(ARRAY[$1])', [name])
      this.#listened.add(name)
    }
    const token = await this.#wait(name)
    const release = this.#way === 'queue' ? 'release_queued' : 'release_lease'
    return () => this.#ask('release', `SELECT elect.${release}($1, $2)`, [name, token])
  }

  close(): Promise<void> {
    return this.#session.end()
  }

  async #wait(name: string): Promise<string | undefined> {
    const values = [name, this.#holder]
    for (;;) {
      this.#told = false
      const asked = await this.#ask('acquire', ACQUIRE[this.#way], values)
      if (asked.granted === true) return asked.token
      // That one has waited in the server.
      if (this.#way === 'queue') continue
      if (!this.#told) await this.#untilTold(asked.rank === null ? UNSETTLED_RETRY_MS : LOOK_MS)
      if (this.#way === 'line' && asked.rank !== null) {
        const handed = await this.#ask(
          'look',
          'SELECT granted, token FROM elect.get_candidacy($1, $2)',
          values,
        )
        if (handed.granted === true) return handed.token
      }
    }
  }

  async #ask(name: string, text: string, values: unknown[]): Promise<Answer> {
    const { rows } = await this.#session.query<Answer>({ name, text, values })
    return rows[0] ?? {}
  }

  #untilTold(longestMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, longestMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
