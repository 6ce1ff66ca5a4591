/**
 * Contenders for one name that hold it for no time at all, each on a connection of its own, by the SQL functions alone. The three ways to
 * wait share this code but for the wait itself.
 */
import type pg from 'pg'
import { connect } from '../harness/bench-database.ts'

export type Way = 'herd' | 'line' | 'queue'

export interface Contest {
  readonly handOffsPerSecond: number
  /** Jain's index of the grants of each contender: 1 is perfectly even. */
  readonly fairness: number
  /** How often two were inside at once. */
  readonly overlaps: number
}

/** Who waits gives up waiting after this time and looks: notifications can be left out. */
const LOOK_MS = 500
/** Until each has had its first turn; a herd can leave one out for long. */
const WARM_UP_MS_MAX = 20_000

interface Arena {
  readonly name: string
  readonly forMs: number
  /** From when on it counts: once each contender has had its first turn, and so all wait that do not hold it. */
  startMs: number
  stopAtMs: number
  /** Contenders that have not had a turn yet. */
  readonly fresh: Set<number>
  inside: number
  overlaps: number
  /** Changes of holder. Whoever comes back to it at once, before the others, has handed nothing off. */
  handOffs: number
  last: number
}

/** @param rounds - a new name for each, so that no round has to do with another */
export async function contend(
  connectionString: string,
  way: Way,
  count: number,
  forMs: number,
  name: string,
): Promise<Contest> {
  const clients = await Promise.all(Array.from({ length: count }, () => connect(connectionString)))
  const contenders = clients.map((client, index) => new Contender(client, index))
  await Promise.all(contenders.map((contender) => contender.prepare(way, name)))
  const arena: Arena = {
    name,
    forMs,
    startMs: Number.NaN,
    stopAtMs: performance.now() + WARM_UP_MS_MAX,
    fresh: new Set(clients.keys()),
    inside: 0,
    overlaps: 0,
    handOffs: 0,
    last: -1,
  }
  await Promise.all(contenders.map((contender) => contender.run(way, arena)))
  const tookMs = performance.now() - arena.startMs
  await Promise.all(clients.map((client) => client.end()))
  const grants = contenders.map((contender) => contender.grants)
  const sum = grants.reduce((a, b) => a + b, 0)
  const squares = grants.reduce((a, b) => a + b * b, 0)
  return {
    handOffsPerSecond: (arena.handOffs / tookMs) * 1000,
    fairness: squares === 0 ? Number.NaN : (sum * sum) / (count * squares),
    overlaps: arena.overlaps,
  }
}

class Contender {
  grants = 0
  readonly #client: pg.Client
  readonly #index: number
  readonly #holder: string
  #told = false
  #wake = () => {}

  constructor(client: pg.Client, index: number) {
    this.#client = client
    this.#index = index
    this.#holder = `contender ${index}`
    client.on('notification', () => {
      this.#told = true
      this.#wake()
    })
  }

  async prepare(way: Way, name: string): Promise<void> {
    // As the package's client does: grants raise it, all else need not wait for the disk.
    await this.#client.query('SET synchronous_commit = off')
    if (way === 'herd') await this.#client.query('SELECT elect.listen(ARRAY[$1])', [name])
    if (way === 'line') await this.#client.query('SELECT elect.listen_here()')
  }

  async run(way: Way, arena: Arena): Promise<void> {
    while (performance.now() < arena.stopAtMs) {
      const token = await this.#acquire(way, arena)
      if (token === undefined) return
      this.#work(arena)
      const release = way === 'queue' ? 'release_queued' : 'release_lease'
      await this.#ask('release', `SELECT elect.${release}($1, $2)`, [arena.name, token])
    }
  }

  #work(arena: Arena): void {
    arena.inside += 1
    if (arena.inside > 1) arena.overlaps += 1
    if (arena.fresh.delete(this.#index) && arena.fresh.size === 0) {
      arena.startMs = performance.now()
      arena.stopAtMs = arena.startMs + arena.forMs
    }
    if (arena.fresh.size === 0) {
      this.grants += 1
      if (arena.last !== this.#index) arena.handOffs += 1
    }
    arena.last = this.#index
    arena.inside -= 1
  }

  async #acquire(way: Way, arena: Arena): Promise<string | undefined> {
    const { name } = arena
    const calls = {
      herd: 'SELECT granted, token FROM elect.acquire_lease($1, $2)',
      line: 'SELECT granted, token FROM elect.acquire_lease($1, $2, wait => true)',
      queue: 'SELECT granted, token FROM elect.acquire_queued($1, $2)',
    }
    for (;;) {
      this.#told = false
      const granted = await this.#ask('acquire', calls[way], [name, this.#holder])
      if (granted !== undefined) return granted
      // In line a contender goes on waiting at the end: what it is handed later must not keep the others out.
      if (performance.now() >= arena.stopAtMs) {
        if (way === 'line') await this.#leave(name)
        return undefined
      }
      if (way === 'queue') continue
      if (!this.#told) await this.#untilTold()
      if (way === 'line') {
        const handed = await this.#ask('look', 'SELECT granted, token FROM elect.get_candidacy($1, $2)', [
          name,
          this.#holder,
        ])
        if (handed !== undefined) return handed
      }
    }
  }

  async #leave(name: string): Promise<void> {
    const text =
      'SELECT elect.release_lease(q.lease, q.token) FROM elect.leave_queue($1, $2) AS q WHERE q.granted'
    await this.#client.query(text, [name, this.#holder])
  }

  async #ask(name: string, text: string, values: unknown[]): Promise<string | undefined> {
    const { rows } = await this.#client.query({ name, text, values })
    return rows[0]?.granted === true ? rows[0].token : undefined
  }

  #untilTold(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
