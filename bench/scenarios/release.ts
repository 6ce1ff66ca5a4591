/** A single release where others wait: how soon the next one works, and what it costs where a thousand wait. */
import type pg from 'pg'
import { openMutexContender } from '../contenders/elect.ts'
import type { BenchDatabase } from '../harness/bench-database.ts'
import { closeAll } from '../harness/elect.ts'
import { withOwnDatabase } from '../harness/own-database.ts'
import type { Bench, Figures, Runner, Scenario } from '../harness/scenario.ts'

const FIGURE = 'ms'
const TOLD = 'sessions told'

/** A runner that does it again and again; `once` says how long the part that is measured took. */
function repeated(once: () => Promise<number>, close: () => Promise<unknown>): Runner {
  return {
    async round(forMs): Promise<Figures> {
      const timesMs: number[] = []
      for (const begunMs = performance.now(); performance.now() - begunMs < forMs; )
        timesMs.push(await once())
      return { [FIGURE]: timesMs }
    },
    async close() {
      await close()
    },
  }
}

async function commits({ database }: Bench): Promise<Runner> {
  const session = await database.connect()
  await session.query(
    'CREATE TABLE IF NOT EXISTS one_commit_row (id integer PRIMARY KEY, n integer) WITH (fillfactor = 70); TRUNCATE one_commit_row; INSERT INTO one_commit_row VALUES (1, 0)',
  )
  const once = async () => {
    const begunMs = performance.now()
    await session.query({ name: 'commit', text: 'UPDATE one_commit_row SET n = n + 1 WHERE id = 1' })
    return performance.now() - begunMs
  }
  return repeated(once, () => session.end())
}

/** From the call of release to the moment at which the next one, who stood in line, holds it. */
async function handOff({ database }: Bench): Promise<Runner> {
  const name = 'single hand-off'
  const session = await database.connect()
  const contenders = await Promise.all(
    Array.from({ length: 2 }, () => openMutexContender(database.connectionString, 'line')),
  )
  let [holder, waiter] = contenders as [(typeof contenders)[number], (typeof contenders)[number]]
  let release = await holder.acquire(name)
  const once = async () => {
    const succession = waiter.acquire(name)
    await untilSomebodyWaits(session, name)
    const begunMs = performance.now()
    const releasing = release()
    release = await succession
    const tookMs = performance.now() - begunMs
    await releasing
    ;[holder, waiter] = [waiter, holder]
    return tookMs
  }
  return repeated(once, async () => {
    await release()
    await closeAll(contenders)
    await session.end()
  })
}

async function untilSomebodyWaits(session: pg.Client, name: string): Promise<void> {
  const waiting = { name: 'waiting', text: 'SELECT FROM elect.get_candidates($1)', values: [name] }
  while ((await session.query(waiting)).rowCount === 0);
}

type CrowdSessions = readonly [holder: pg.Client, waiters: pg.Client, ...others: pg.Client[]]

/** So many who wait for a lease in one session, and sessions that wait for something else. */
class Crowd {
  readonly #name: string
  readonly #sessions: CrowdSessions
  #told = 0
  #came = 0

  static async gather(database: BenchDatabase, count: number): Promise<Crowd> {
    const sessions = await Promise.all(Array.from({ length: 10 }, () => database.connect()))
    const crowd = new Crowd(`crowd of ${count}`, sessions as unknown as CrowdSessions)
    for (const session of sessions.slice(1)) {
      session.on('notification', () => {
        crowd.#told += 1
      })
      await session.query('SELECT elect.listen_here()')
    }
    await sessions[0]?.query('SELECT elect.acquire_lease($1, $2)', [crowd.#name, 'first'])
    await crowd.#fill(count)
    return crowd
  }

  private constructor(name: string, sessions: CrowdSessions) {
    this.#name = name
    this.#sessions = sessions
  }

  /** Milliseconds of one release. As many wait after it as before. */
  async release(): Promise<number> {
    const [holder] = this.#sessions
    const text = 'SELECT token FROM elect.get_lease($1)'
    const { rows } = await holder.query({ name: 'holder', text, values: [this.#name] })
    const begunMs = performance.now()
    await holder.query({
      name: 'release',
      text: 'SELECT elect.release_lease($1, $2)',
      values: [this.#name, rows[0]?.token],
    })
    const tookMs = performance.now() - begunMs
    await this.#stand()
    return tookMs
  }

  /** How many sessions were told of something since it was last asked. */
  countTold(): number {
    const told = this.#told
    this.#told = 0
    return told
  }

  async disperse(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.end()))
  }

  async #fill(count: number): Promise<void> {
    const [, waiters] = this.#sessions
    await waiters.query(
      `SELECT count(*) FROM generate_series(1, $2::integer) AS i,
        elect.acquire_lease($1, 'came ' || i, ttl => '10 minutes', wait => true)`,
      [this.#name, count],
    )
    this.#came = count
  }

  async #stand(): Promise<void> {
    this.#came += 1
    const [, waiters] = this.#sessions
    await waiters.query({
      name: 'stand',
      text: "SELECT FROM elect.acquire_lease($1, $2, ttl => '10 minutes', wait => true)",
      values: [this.#name, `came ${this.#came}`],
    })
  }
}

async function crowded({ database }: Bench, count: number): Promise<Runner> {
  const crowd = await Crowd.gather(database, count)
  const runner = repeated(
    () => crowd.release(),
    () => crowd.disperse(),
  )
  return {
    ...runner,
    async round(forMs) {
      crowd.countTold()
      const figures = await runner.round(forMs)
      return { ...figures, [TOLD]: crowd.countTold() / [figures[FIGURE] ?? []].flat().length }
    },
  }
}

export const release: Scenario = {
  name: 'release',
  title: 'A release where others wait',
  figure: FIGURE,
  better: 'less',
  alsoTold: [TOLD],
  rounds: 3,
  roundMs: 300,
  contestants: [
    { name: 'one durable commit', how: 'UPDATE of one row', open: commits },
    {
      name: 'pg-elect hand-off',
      how: 'through the client, from the call of release to the moment at which the next one holds it',
      open: withOwnDatabase(handOff),
    },
    ...[10, 1000].map((count) => ({
      name: `pg-elect release, ${count.toLocaleString('en-US')} wait`,
      how: 'release_lease alone, as the releaser sees it',
      open: withOwnDatabase((bench) => crowded(bench, count)),
    })),
  ],
  goals: [
    { contestant: 'pg-elect hand-off', against: 'one durable commit', ratio: 3 },
    { contestant: 'pg-elect release, 1,000 wait', against: 'pg-elect release, 10 wait', ratio: 1.5 },
    { contestant: 'pg-elect release, 1,000 wait', figure: TOLD, atMost: 1 },
  ],
}
