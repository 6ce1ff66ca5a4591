/** Single hand-offs: through the client, before a crowd, to a candidate that is dead. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type pg from 'pg'
import { PgElect } from '../../src/index.ts'
import { connect } from '../harness/bench-database.ts'
import { quantile } from '../harness/statistics.ts'

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

/** Hand-offs a second of so many clients in one process. */
export async function throughClient(
  connectionString: string,
  way: 'line' | 'queue' | 'fast',
  count: number,
  forMs: number,
  name: string,
): Promise<number> {
  const clients = Array.from({ length: count }, () => new PgElect({ connectionString, logger: quiet }))
  const mutexes = clients.map((client) =>
    way === 'fast' ? client.fastMutex(name) : client.mutex(name, { wait: way }),
  )
  for (const mutex of mutexes) await (await mutex.lock()).release()
  let handOffs = 0
  let last = -1
  const startMs = performance.now()
  await Promise.all(
    mutexes.map(async (mutex, index) => {
      while (performance.now() - startMs < forMs) {
        const lock = await mutex.lock()
        if (last !== index) handOffs += 1
        last = index
        await lock.release()
      }
    }),
  )
  const tookMs = performance.now() - startMs
  await Promise.all(clients.map((client) => client.close()))
  return (handOffs / tookMs) * 1000
}

/** What a release costs, in milliseconds, and how many sessions are told of it, while so many wait; the two crowds in turns. */
export async function crowds(
  connectionString: string,
  counts: readonly number[],
  releases: number,
): Promise<{ count: number; releaseMs: number; toldPerRelease: number }[]> {
  const crowded = await Promise.all(counts.map((count) => Crowd.gather(connectionString, count)))
  for (let i = 0; i < releases; i++) {
    for (const crowd of crowded) await crowd.release()
  }
  return Promise.all(crowded.map((crowd) => crowd.disperse()))
}

/** So many who wait for a lease in one session, and sessions that wait for something else. */
class Crowd {
  readonly #count: number
  readonly #name: string
  readonly #sessions: readonly pg.Client[]
  readonly #timesMs: number[] = []
  #told = 0
  #came = 0

  static async gather(connectionString: string, count: number): Promise<Crowd> {
    const sessions = await Promise.all(Array.from({ length: 10 }, () => connect(connectionString)))
    const crowd = new Crowd(count, sessions)
    for (const session of sessions.slice(1)) {
      session.on('notification', () => {
        crowd.#told += 1
      })
      await session.query('SELECT elect.listen_here()')
    }
    await crowd.#holder.query('SELECT elect.acquire_lease($1, $2)', [crowd.#name, 'first'])
    while (crowd.#came < count) await crowd.#stand()
    return crowd
  }

  private constructor(count: number, sessions: readonly pg.Client[]) {
    this.#count = count
    this.#name = `crowd of ${count}`
    this.#sessions = sessions
  }

  async release(): Promise<void> {
    const { rows } = await this.#holder.query({
      name: 'holder',
      text: 'SELECT token FROM elect.get_lease($1)',
      values: [this.#name],
    })
    const begunMs = performance.now()
    await this.#holder.query({
      name: 'release',
      text: 'SELECT elect.release_lease($1, $2)',
      values: [this.#name, rows[0]?.token],
    })
    this.#timesMs.push(performance.now() - begunMs)
    // As many wait as before.
    await this.#stand()
  }

  async disperse(): Promise<{ count: number; releaseMs: number; toldPerRelease: number }> {
    await Promise.all(this.#sessions.map((session) => session.end()))
    const releaseMs = quantile(this.#timesMs, 0.5)
    return { count: this.#count, releaseMs, toldPerRelease: this.#told / this.#timesMs.length }
  }

  get #holder(): pg.Client {
    return this.#sessions[0] as pg.Client
  }

  async #stand(): Promise<void> {
    this.#came += 1
    await this.#sessions[1]?.query({
      name: 'stand',
      text: "SELECT FROM elect.acquire_lease($1, $2, ttl => '10 minutes', wait => true)",
      values: [this.#name, `came ${this.#came}`],
    })
  }
}

/** Times of one durable commit, and of one hand-off from this process to another, taken in turns. */
export async function handOffTimes(
  connectionString: string,
  times: number,
): Promise<{ commitMs: number[]; handOffMs: number[] }> {
  const session = await connect(connectionString)
  await session.query(
    'CREATE TABLE IF NOT EXISTS one_row (id integer PRIMARY KEY, n integer); TRUNCATE one_row; INSERT INTO one_row VALUES (1, 0)',
  )
  const script = fileURLToPath(new URL('successor.ts', import.meta.url))
  const successor = fork(script, [connectionString], { execArgv: ['--import', 'tsx'] })
  const client = new PgElect({ connectionString, logger: quiet })
  const commitMs: number[] = []
  const handOffMs: number[] = []
  let lease = await client.acquire('timed')
  await once(successor, 'message')
  for (let i = 0; i < times; i++) {
    const begunMs = performance.now()
    await session.query({ name: 'commit', text: 'UPDATE one_row SET n = n + 1 WHERE id = 1' })
    commitMs.push(performance.now() - begunMs)
    successor.send('wait')
    while ((await client.candidates('timed')).length === 0);
    const working = once(successor, 'message')
    const releasedNs = process.hrtime.bigint()
    await lease.release()
    const [workNs] = await working
    handOffMs.push(Number(BigInt(workNs) - releasedNs) / 1e6)
    const again = client.acquire('timed')
    while ((await client.candidates('timed')).length === 0);
    successor.send('release')
    lease = await again
  }
  await lease.release()
  successor.kill()
  await client.close()
  await session.end()
  return { commitMs, handOffMs }
}

/** The first in line is dead when it is handed the lease: how long after the accept time the next one leads. */
export async function deadCandidate(connectionString: string, name: string): Promise<number> {
  const session = await connect(connectionString)
  const client = new PgElect({ connectionString, logger: quiet })
  const { rows } = await session.query('SELECT token FROM elect.acquire_lease($1, $2)', [name, 'leader'])
  await session.query('SELECT elect.acquire_lease($1, $2, wait => true)', [name, 'dead'])
  const succession = client.acquire(name)
  while ((await client.candidates(name)).length < 2);
  await session.query('SELECT elect.release_lease($1, $2)', [name, rows[0]?.token])
  const handedMs = performance.now()
  await succession
  const tookMs = performance.now() - handedMs
  await client.close()
  await session.end()
  return tookMs - 2000
}
