/** What a call decides for many leases, beside what the calls for one decide, each on names of its own that have come the same way. */
import type pg from 'pg'
import { beforeAll, expect, test } from 'vitest'
import { seededRandom } from '../unit/support/random.ts'
import { type Asked, acquireAll, releaseAll } from './batches.ts'
import { acquire, release, rowsOf, untilExpired, useDatabase } from './leases.ts'
import { stand } from './line.ts'

const database = useDatabase()
let client: pg.Client

beforeAll(async () => {
  client = await database.connect()
})

const SEED = Number(process.env.PG_ELECT_TEST_SEED ?? Math.floor(Math.random() * 1_000_000))
const STEPS = 120

/** What both must agree on. Times to the minute: each side has a clock reading of its own. */
interface Outcome {
  readonly granted: boolean | null
  readonly holder: string | null
  readonly metadata: unknown
  readonly minutes: number | null
  /** Whether the token is the one that the name had before. */
  readonly isOldToken: boolean | null
}

/** One of the two ways, and the tokens that it has seen. */
class Side {
  readonly #prefix: string
  readonly #isTogether: boolean
  readonly tokens = new Map<string, number>()

  constructor(prefix: string, isTogether: boolean) {
    this.#prefix = prefix
    this.#isTogether = isTogether
  }

  name(name: string): string {
    return `${this.#prefix} ${name}`
  }

  async acquire(asked: readonly Asked[]): Promise<Outcome[]> {
    const all = asked.map((one) => ({ ...one, name: this.name(one.name) }))
    const answers = this.#isTogether ? await acquireAll(client, all) : []
    if (!this.#isTogether) {
      for (const { name, holder, ttl, metadata } of all) {
        answers.push({ name, rank: null, ...(await acquire(client, name, holder, ttl, metadata ?? null)) })
      }
    }
    return answers.map(({ granted, holder, metadata, expiresInMs, token }, place) => {
      const name = asked[place]?.name as string
      const known = this.tokens.get(name) ?? 0
      if (token !== null) {
        expect(token).toBeGreaterThanOrEqual(known)
        this.tokens.set(name, token)
      }
      const minutes = expiresInMs === null ? null : Math.ceil(expiresInMs / 60_000)
      return { granted, holder, metadata, minutes, isOldToken: token === null ? null : token === known }
    })
  }

  async release(leases: readonly (readonly [name: string, isStale: boolean])[]): Promise<(boolean | null)[]> {
    const all = leases.map(([name, isStale]) => {
      const token = this.tokens.get(name) ?? 1
      return [this.name(name), isStale ? token - 1 : token] as const
    })
    if (this.#isTogether)
      return releaseAll(
        client,
        all.map(([name, token]) => [name, Math.max(1, token)]),
      )
    const released: boolean[] = []
    for (const [name, token] of all) released.push(await release(client, name, Math.max(1, token)))
    return released
  }

  /** Who waits for each of its leases, and who holds them. */
  async state(): Promise<unknown[]> {
    const text = `SELECT substr(l.name, $2) AS name, l.holder, l.ttl::text, l.metadata, l.acquired_at = l.renewed_at AS is_new,
        ARRAY(SELECT c.candidate FROM elect.candidates c WHERE c.lease = l.name ORDER BY c.priority DESC, c.arrival) AS line
      FROM elect.leases l WHERE l.name LIKE $1 ORDER BY l.name`
    return rowsOf(client, text, [`${this.#prefix} %`, this.#prefix.length + 2])
  }
}

test.each([SEED, SEED + 1, SEED + 2])('all answers are the same, from seed %i', async (seed) => {
  const random = seededRandom(seed)
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T
  const names = ['a', 'b', 'c', 'd', 'e', 'ä "quoted\\', 'g']
  const holders = ['ada', 'bob', 'cyd']
  const sides = [new Side(`${seed} one by one`, false), new Side(`${seed} together`, true)] as const
  for (let step = 0; step < STEPS; step++) {
    const count = 1 + Math.floor(random() * 6)
    const kind = random()
    const at = `seed ${seed}, step ${step}`
    if (kind < 0.5) {
      const asked = Array.from({ length: count }, (): Asked => {
        const ttl = pick(['20 minutes', '40 minutes'])
        return {
          name: pick(names),
          holder: pick(holders),
          ttl,
          metadata: random() < 0.3 ? { step } : undefined,
        }
      })
      const [one, other] = [await sides[0].acquire(asked), await sides[1].acquire(asked)]
      expect({ at, answers: other }).toEqual({ at, answers: one })
    } else if (kind < 0.85) {
      const leases = Array.from({ length: count }, () => [pick(names), random() < 0.15] as const)
      const [one, other] = [await sides[0].release(leases), await sides[1].release(leases)]
      expect({ at, released: other }).toEqual({ at, released: one })
    } else if (kind < 0.95) {
      const [name, holder] = [pick(names), pick(holders)]
      for (const side of sides) await stand(client, side.name(name), `waits ${holder}`)
    } else {
      const name = pick(names)
      for (const side of sides) await side.acquire([{ name, holder: 'short', ttl: '100 milliseconds' }])
      const held = sides.map((side) => side.name(name))
      const short = "SELECT name FROM elect.leases WHERE holder = 'short' AND name = ANY ($1)"
      const expiring = (await rowsOf<{ name: string }>(client, short, [held])).map((row) => row.name)
      if (expiring.length > 0) await untilExpired(client, ...expiring)
    }
    expect({ at, state: await sides[1].state() }).toEqual({ at, state: await sides[0].state() })
    // Whoever was handed a lease did not see its token.
    for (const side of sides) {
      const text = 'SELECT name, token::float8 FROM elect.leases WHERE name = ANY ($1)'
      const rows = await rowsOf<{ name: string; token: number }>(client, text, [
        names.map((name) => side.name(name)),
      ])
      for (const name of names) {
        const token = rows.find((row) => row.name === side.name(name))?.token
        if (token !== undefined) side.tokens.set(name, token)
      }
    }
  }
})
