/**
 * A leader that is cut off without a word: no reset, no end of a connection, both ways or one way only. PARTITIONS: how many; SEED: at
 * which moments.
 */
import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ConnectionError, type LeaseInfo, PgElect } from '../../../src/index.ts'
import { aborted } from '../../integration/client/clients.ts'
import { createTestDatabase, type TestDatabase } from '../../support/postgres/database.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { createFence, fenceOf, writeGuarded } from '../support/fence.ts'
import { type Direction, FaultProxy } from '../support/fault-proxy.ts'
import { Longest } from '../support/longest.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'

const TTL_MS = 1_500
/** What a busy machine may add to what is due at a moment. */
const TOLERANCE_MS = 500

/** What vanishes: everything, what is asked, or what is answered. */
const losses: Readonly<Record<string, readonly Direction[]>> = {
  'everything vanishes': ['up', 'down'],
  'requests vanish': ['up'],
  'answers vanish': ['down'],
}

let database: TestDatabase
let session: pg.Client
beforeAll(async () => {
  database = await createTestDatabase()
  session = await database.connect()
  await createFence(session)
  // By the server's own clock: how long after the end of a lease the next grant came.
  await session.query(`
    CREATE TABLE takeovers (name text, token bigint, late_ms float8);
    CREATE FUNCTION note_takeover() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
      BEGIN
        INSERT INTO public.takeovers VALUES (NEW.name, NEW.token, extract(epoch FROM NEW.acquired_at - OLD.expires_at) * 1000);
        RETURN NULL;
      END $$;
    CREATE TRIGGER note_takeover AFTER UPDATE ON elect.leases FOR EACH ROW
      WHEN (NEW.holder IS NOT NULL AND OLD.holder IS NOT NULL AND NEW.token <> OLD.token) EXECUTE FUNCTION note_takeover();`)
})
afterAll(() => database.drop())

function open(proxy?: FaultProxy, timing: { ttlMs?: number; queryTimeoutMs?: number } = {}): PgElect {
  const connectionString = proxy?.through(database.connectionString) ?? database.connectionString
  return new PgElect({ connectionString, ttlMs: TTL_MS, drainTimeoutMs: 0, logger: silent, ...timing })
}

/** Writes as that leader until it is refused once another has led; a guard that does not refuse it is given a few writes to show it. */
async function writeOn(name: string, token: number, succeeded: AbortSignal): Promise<void> {
  const writer = await database.connect()
  let isRefused = false
  for (let more = 10; !succeeded.aborted || (!isRefused && more > 0); more -= Number(succeeded.aborted)) {
    isRefused = !(await writeGuarded(writer, name, token))
  }
  await writer.end()
}

/** What is asked first can still be put to the connection that has just been given up, and a busy machine takes long to connect. */
async function getAgain(client: PgElect, name: string): Promise<LeaseInfo | null> {
  for (let more = 10; ; more--) {
    try {
      return await client.get(name)
    } catch (error) {
      if (!(error instanceof ConnectionError && more > 0)) throw error
    }
  }
}

/** @returns what was wrong */
async function partition(name: string, lost: readonly Direction[], part: number, longest: Longest) {
  const wrong: string[] = []
  await using proxy = await FaultProxy.to(database.connectionString)
  const [cutOff, other] = [open(proxy), open()]
  const old = await cutOff.election(name).campaign()
  const succession = other.election(name).campaign()
  const succeeded = new AbortController()
  const writing = writeOn(name, old.token, succeeded.signal)
  // Somewhere between two beats.
  await new Promise((resolve) => setTimeout(resolve, part * (TTL_MS / 3)))

  proxy.drop(...lost)
  const cutAtMs = performance.now()
  let lateMs = Number.NaN
  const stopped = aborted(old.signal).then(() => {
    lateMs = -old.remainingMs
    if (old.isHeld) wrong.push('the signal has aborted, but the lease counts as held')
  })
  const successor = await succession
  const tookMs = performance.now() - cutAtMs
  // By its own deadline, which comes before the other could be granted it. First of all, as looking at isHeld would abort it.
  if (!old.signal.aborted) wrong.push('the old signal has not aborted when the new leader leads')
  if (old.isHeld) wrong.push('both are held')
  await stopped
  const writer = await database.connect()
  if (!(await writeGuarded(writer, name, successor.token))) wrong.push('the successor may not write')
  await writer.end()
  succeeded.abort()
  await writing

  const { rows } = await session.query<{ late_ms: number }>(
    'SELECT late_ms FROM takeovers WHERE name = $1 AND token = $2',
    [name, successor.token],
  )
  const takeoverMs = rows[0]?.late_ms ?? Number.NaN
  if (!(takeoverMs >= 0 && takeoverMs <= 1_000)) wrong.push(`was granted ${takeoverMs} ms after the old end`)
  if (lateMs > TOLERANCE_MS) wrong.push(`the signal aborted ${lateMs} ms after its deadline`)
  // Where requests arrive, the last of them may be a renewal of which the old leader never hears.
  const extraMs = lost.includes('up') ? 0 : TTL_MS / 3
  if (tookMs > TTL_MS + extraMs + 1_000) wrong.push(`the new leader led after ${tookMs} ms only`)
  const { stale } = await fenceOf(session, name)
  if (stale > 0) wrong.push(`${stale} stale writes`)
  longest.see({ 'abort after the deadline': lateMs, 'new leader': tookMs, 'grant after the end': takeoverMs })

  const before = proxy.connections
  proxy.pass()
  const leader = await getAgain(cutOff, name)
  if (leader?.token !== successor.token) wrong.push('the old client does not see who leads')
  if (proxy.connections === before) wrong.push('no new connection was made')
  await Promise.all([other.close(), cutOff.close()])
  return wrong
}

const partitions = scaled(12, 'PARTITIONS')
const LANES = 4

test(
  `a leader that is cut off stops by its deadline, and another leads a TTL and a second later, SEED=${seed} PARTITIONS=${partitions}`,
  timeoutFor(partitions, 2 * TTL_MS),
  async () => {
    const longest = new Longest()
    const failures: string[] = []
    let begun = 0
    const lane = async () => {
      while (begun < partitions) {
        const number = begun++
        const [what, lost] = Object.entries(losses)[number % 3] as [string, Direction[]]
        const part = seededRandom(seed + number)()
        const wrong = await partition(`partition ${number}`, lost, part, longest)
        failures.push(...wrong.map((text) => `partition ${number}, ${what}, at ${part} of a beat: ${text}`))
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    console.log(`SEED=${seed} PARTITIONS=${partitions} TTL ${TTL_MS} ms, longest: ${longest}`)
    expect(failures).toEqual([])
  },
)

const QUERY_TIMEOUT_MS = 700
const queries = scaled(4, 'QUERIES')

test.each(Object.entries(losses))(
  `a query rejects within its timeout where %s, and works again on a new socket, QUERIES=${queries}`,
  timeoutFor(queries, 3 * QUERY_TIMEOUT_MS),
  async (what, lost) => {
    const off: number[] = []
    for (let number = 0; number < queries; number++) {
      await using proxy = await FaultProxy.to(database.connectionString)
      await using client = open(proxy, { ttlMs: 60_000, queryTimeoutMs: QUERY_TIMEOUT_MS })
      expect(await client.get('nobody')).toBeNull()
      proxy.drop(...lost)
      const startMs = performance.now()
      await expect(client.get('nobody')).rejects.toBeInstanceOf(ConnectionError)
      off.push(Math.round(performance.now() - startMs - QUERY_TIMEOUT_MS))
      const before = proxy.connections
      proxy.pass()
      expect(await getAgain(client, 'nobody')).toBeNull()
      expect(proxy.connections).toBeGreaterThan(before)
    }
    console.log(
      `${what}: ${queries} queries, off their timeout of ${QUERY_TIMEOUT_MS} ms by ${Math.min(...off)} to ${Math.max(...off)} ms`,
    )
    expect(Math.min(...off)).toBeGreaterThan(-100)
    expect(Math.max(...off)).toBeLessThan(TOLERANCE_MS)
  },
)
