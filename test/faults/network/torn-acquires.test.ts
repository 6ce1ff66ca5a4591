/**
 * Whoever asks for a lease over a connection that is torn at a random byte, of the question or of the answer, still gets it under the one
 * token that was granted, and never stands in its own way. The leases outlive the test: nothing here can have waited for an expiry.
 * TEARS: how many; SEED: where.
 */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConnectionError, type Lease, PgElect } from '../../../src/index.ts'
import type { Random } from '../../../src/jitter.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { type Direction, FaultProxy, type Tear } from '../support/fault-proxy.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'

const TTL_MS = 600_000
/** What an answer that never comes costs. Long enough for a busy machine to connect anew: who tries gives up after one more. */
const QUERY_TIMEOUT_MS = 2_500
/** Far below the TTL. */
const PATIENCE_MS = 20_000

type Ask = () => Promise<Lease | null>

/** Ways to ask. Each gives a contender, to be called again for its next lease. */
const ways: Readonly<Record<string, (client: PgElect, name: string) => Ask>> = {
  acquire: (client, name) => () => client.acquire(name, { timeoutMs: PATIENCE_MS }),
  tryAcquire: (client, name) => () => client.tryAcquire(name),
  campaign: (client, name) => {
    const election = client.election(name)
    return () => election.campaign({ signal: AbortSignal.timeout(PATIENCE_MS) })
  },
  'semaphore.acquire': (client, name) => {
    const semaphore = client.semaphore(name, { permits: 1 })
    return () => semaphore.acquire({ timeoutMs: PATIENCE_MS })
  },
  'semaphore.tryAcquire': (client, name) => {
    const semaphore = client.semaphore(name, { permits: 1 })
    return () => semaphore.tryAcquire()
  },
}

/** One torn attempt, before it is known how far a connection carries it. */
interface Plan {
  readonly way: string
  /** Whether the client has connected before. */
  readonly isWarm: boolean
  readonly direction: Direction
  readonly tear: Tear
  /** Where between the first and the last byte. */
  readonly part: number
}

let database: TestDatabase
let session: pg.Client
const proxies: FaultProxy[] = []
beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  await session.query(`
    CREATE TABLE granted (name text, token bigint);
    CREATE FUNCTION note_grant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN
        INSERT INTO public.granted VALUES (coalesce(NEW.part_of, NEW.name), NEW.token);
        RETURN NULL;
      END $$;
    CREATE TRIGGER note_first AFTER INSERT ON elect.leases FOR EACH ROW WHEN (NEW.holder IS NOT NULL) EXECUTE FUNCTION note_grant();
    CREATE TRIGGER note_next AFTER UPDATE ON elect.leases FOR EACH ROW
      WHEN (NEW.holder IS NOT NULL AND NEW.token <> OLD.token) EXECUTE FUNCTION note_grant();`)
})
afterAll(async () => {
  for (const proxy of proxies) await proxy.close()
  await database.drop()
})

async function openProxy(): Promise<FaultProxy> {
  const proxy = await FaultProxy.to(database.connectionString)
  proxies.push(proxy)
  return proxy
}

async function openThrough(proxy: FaultProxy, isWarm: boolean): Promise<PgElect> {
  const connectionString = proxy.through(database.connectionString)
  const timing = { ttlMs: TTL_MS, queryTimeoutMs: QUERY_TIMEOUT_MS, retryIntervalMs: 20 }
  const client = new PgElect({ connectionString, ...timing, drainTimeoutMs: 0, logger: silent })
  // Nothing is torn yet: a busy machine may still take longer than one timeout.
  const warmUp = () => client.get('nobody')
  if (isWarm) await warmUp().catch(warmUp)
  return client
}

async function grantsOf(name: string): Promise<number[]> {
  const text = 'SELECT token::float8 AS token FROM granted WHERE name = $1 ORDER BY token'
  const { rows } = await session.query<{ token: number }>(text, [name])
  return rows.map(({ token }) => token)
}

function draw(random: Random): Plan {
  const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T
  return {
    way: pick(Object.keys(ways)),
    isWarm: random() < 0.7,
    direction: pick(['up', 'down']),
    tear: pick(['reset', 'end', 'silence']),
    part: random(),
  }
}

/** How many bytes go each way until the lease is there, where nothing is torn. */
const sizes = new Map<string, Promise<Record<Direction, number>>>()

function sizeOf({ way, isWarm }: Plan): Promise<Record<Direction, number>> {
  const key = `${way} ${isWarm}`
  let size = sizes.get(key)
  if (size === undefined) {
    size = measure(way, isWarm)
    sizes.set(key, size)
  }
  return size
}

async function measure(way: string, isWarm: boolean): Promise<Record<Direction, number>> {
  const proxy = await openProxy()
  const client = await openThrough(proxy, isWarm)
  const before = { up: proxy.bytes('up'), down: proxy.bytes('down') }
  expect(await ways[way]?.(client, `measured ${way} ${isWarm}`)()).not.toBeNull()
  const size = { up: proxy.bytes('up') - before.up, down: proxy.bytes('down') - before.down }
  await client.close()
  return size
}

/** @returns what was wrong; undefined if the connection was not torn: what comes at the end need not come at all. */
async function tearOnce(proxy: FaultProxy, name: string, plan: Plan): Promise<string[] | undefined> {
  const size = await sizeOf(plan)
  const client = await openThrough(proxy, plan.isWarm)
  let isTorn = false
  void proxy.cutAfter(plan.direction, Math.floor(plan.part * size[plan.direction]), plan.tear).then(() => {
    isTorn = true
  })
  const ask = (ways[plan.way] as (typeof ways)[string])(client, name)
  const wrong: string[] = []
  const outcome = await ask().catch((error: Error) => error)
  const wasTorn = isTorn
  proxy.pass()
  const grants = await grantsOf(name)
  if (
    !plan.isWarm &&
    plan.way.endsWith('tryAcquire') &&
    outcome instanceof ConnectionError &&
    grants.length === 0
  ) {
    // It asks once, and the connection was torn while it was made: nothing was asked.
  } else if (outcome === null || outcome instanceof Error) {
    wrong.push(`came to nothing: ${outcome}, granted ${grants.length} times`)
  } else {
    if (grants.length !== 1 || grants[0] !== outcome.token)
      wrong.push(`has token ${outcome.token}, but the database granted ${grants}`)
    if (!outcome.isHeld) wrong.push('is not held')
    if (!(await outcome.release())) wrong.push('was not released')
  }
  const next = await ask().catch((error: Error) => error)
  if (next === null || next instanceof Error) wrong.push(`is in its own way: ${next}`)
  else if (next.token <= (grants.at(-1) ?? 0)) wrong.push('the next token is no larger')
  await client.close()
  return wasTorn ? wrong : undefined
}

const tears = scaled(30, 'TEARS')
const LANES = 4

test(
  `whoever asks over a torn connection has the lease under the one token that was granted, SEED=${seed} TEARS=${tears}`,
  timeoutFor(tears, 2 * QUERY_TIMEOUT_MS),
  async () => {
    const counts = new Map<string, number>()
    const failures: string[] = []
    let begun = 0
    let torn = 0
    let whole = 0
    const lane = async () => {
      const proxy = await openProxy()
      while (torn < tears && begun < 20 * tears) {
        const number = begun++
        const plan = draw(seededRandom(seed + number))
        const wrong = await tearOnce(proxy, `torn ${number}`, plan)
        if (wrong === undefined) {
          whole += 1
          continue
        }
        torn += 1
        counts.set(plan.way, (counts.get(plan.way) ?? 0) + 1)
        failures.push(...wrong.map((what) => `${JSON.stringify({ number, ...plan })}: ${what}`))
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    const figures = [...counts].map(([way, count]) => `${way} ${count}`).join(', ')
    console.log(`SEED=${seed}, torn ${torn} (${figures}), not torn ${whole}, failures ${failures.length}`)
    expect(failures).toEqual([])
    expect(torn).toBeGreaterThanOrEqual(tears)
  },
)
