/**
 * The clock of the server is set back and forth by an hour and runs at other rates, while contenders lead and write, and leaders are cut
 * off. STEPS: how many changes of the clock; SEED: which.
 */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { expect, test } from 'vitest'
import { type Leadership, PgElect } from '../../../src/index.ts'
import type { Random } from '../../../src/jitter.ts'
import { aborted } from '../../integration/client/clients.ts'
import { seededRandom } from '../../unit/support/random.ts'
import { silent } from '../primitives/uses.ts'
import { type Asker, createFence, fenceOf, writeGuarded } from '../support/fence.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { Longest } from '../support/longest.ts'
import { scaled, seed, timeoutFor } from '../support/scale.ts'
import { FakeClockServer, findLibfaketime } from './fake-clock.ts'

const TTL_MS = 1_500
const HOUR_MS = 60 * 60 * 1000
const CONTENDERS = 3
/** What a busy machine may add. */
const TOLERANCE_MS = 500
/** Nothing takes so long that is not stuck. */
const STUCK_MS = 20 * TTL_MS
const ELECTION = 'clock'

type Change = (server: FakeClockServer) => Promise<void>

const changes: Readonly<Record<string, Change>> = {
  'an hour forward': (server) => server.step(HOUR_MS),
  'an hour back': (server) => server.step(-HOUR_MS),
  'half as fast again': (server) => server.run(1.5),
  'two thirds as fast': (server) => server.run(1 / 1.5),
  'at the right rate': (server) => server.run(1),
}

/** A contender that writes for as long as the guard lets it, whatever its own deadline says. */
class Writer {
  readonly proxy: FaultProxy
  readonly #client: PgElect
  readonly #connectionString: string
  #session: pg.Client | undefined
  readonly #stop = new AbortController()
  readonly #running: Promise<unknown>
  isLeading = false
  terms = 0

  /** Why it campaigns no more, which it should for ever. */
  failure: unknown

  private constructor(proxy: FaultProxy, client: PgElect, connectionString: string) {
    this.proxy = proxy
    this.#client = client
    this.#connectionString = connectionString
    const { signal } = this.#stop
    const lead = async ({ token, signal: lost }: Leadership) => {
      await this.#write(token)
      // The guard may refuse it before the client knows: work that ends by itself would end the campaign.
      await aborted(lost)
    }
    this.#running = client.election(ELECTION).lead(lead, { signal })
    this.#running.catch((error: unknown) => {
      if (!signal.aborted) this.failure = error
    })
  }

  static async start(connectionString: string): Promise<Writer> {
    const proxy = await FaultProxy.to(connectionString)
    return new Writer(proxy, open(proxy.through(connectionString)), connectionString)
  }

  async stop(): Promise<void> {
    this.proxy.pass()
    this.#stop.abort(new Error('enough'))
    await this.#running.catch(() => {})
    await this.#client.close()
    await this.#session?.end()
    await this.proxy.close()
  }

  async #write(token: number): Promise<void> {
    this.terms += 1
    this.isLeading = true
    // A refusal can be a lease that is changing hands: only a second one is taken at its word.
    for (let refused = 0; refused < 2 && !this.#stop.signal.aborted; ) {
      refused = (await this.#writeOnce(token)) ? 0 : refused + 1
    }
    this.isLeading = false
  }

  async #writeOnce(token: number): Promise<boolean> {
    try {
      this.#session ??= await connect(this.#connectionString)
      return await writeGuarded(this.#session, ELECTION, token)
    } catch {
      // The time of a transaction runs by that clock, too: the server has ended it.
      await this.#session?.end().catch(() => {})
      this.#session = undefined
      await delay(50)
      return false
    }
  }
}

function open(connectionString: string): PgElect {
  return new PgElect({ connectionString, ttlMs: TTL_MS, drainTimeoutMs: TTL_MS, logger: silent })
}

async function connect(connectionString: string): Promise<pg.Client> {
  const session = new pg.Client({ connectionString })
  session.on('error', () => {})
  await session.connect()
  return session
}

/** Asks again on a new connection after a crash of the server. */
function openObserver(connectionString: string): Asker & AsyncDisposable {
  const pool = new pg.Pool({ connectionString, max: 1 })
  pool.on('error', () => {})
  return {
    async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []) {
      for (let more = 100; ; more--) {
        try {
          return await pool.query<Row>(text, values)
        } catch (error) {
          if (more === 0) throw error
          await delay(50)
        }
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** Takes a lease as somebody who dies at once. */
async function die(session: Asker, name: string): Promise<void> {
  await session.query(`SELECT elect.acquire_lease($1, 'dead', $2)`, [name, `${TTL_MS} milliseconds`])
}

/** Until somebody writes; if one is cut off, until another leads. */
async function untilLed(session: Asker, writers: readonly Writer[], cutOff?: Writer): Promise<void> {
  const { writes } = await fenceOf(session, ELECTION)
  const isLed = async () =>
    cutOff === undefined
      ? (await fenceOf(session, ELECTION)).writes > writes
      : writers.some((writer) => writer !== cutOff && writer.isLeading)
  while (!(await isLed())) await delay(10)
}

const steps = scaled(8, 'STEPS')

test(
  `however the clock is set, no stale write is committed and no lease sticks, SEED=${seed} STEPS=${steps}`,
  timeoutFor(steps, 6 * TTL_MS),
  async ({ skip }) => {
    const library = await findLibfaketime()
    if (library === undefined) {
      // The reporter does not show why a test was skipped.
      console.log('skipped: no libfaketime')
      return skip('skipped: no libfaketime')
    }
    await using server = await FakeClockServer.start(library)
    const { connectionString } = server
    await using session = openObserver(connectionString)
    await createFence(session)
    const writers = await Promise.all(
      Array.from({ length: CONTENDERS }, () => Writer.start(connectionString)),
    )
    const client = open(connectionString)
    const longest = new Longest()
    const failures: string[] = []
    const random = seededRandom(seed)
    await untilLed(session, writers)

    for (let number = 0; number < steps; number++) {
      const [what, change] = draw(random, number)
      const names = [`waited for ${number}`, `not looked at ${number}`] as const
      for (const name of names) await die(session, name)
      const acquire = (name: string) => client.acquire(name).then((lease) => void lease.release())
      const waiting = acquire(names[0])
      const cutOff = random() < 0.5 ? writers.find(({ isLeading }) => isLeading) : undefined
      await delay(random() * TTL_MS)
      cutOff?.proxy.drop()

      const crashesBefore = await server.crashes()
      const startMs = performance.now()
      const since = () => performance.now() - startMs
      await change(server)
      const overdue = delay(STUCK_MS, undefined, { ref: false }).then(since)
      const until = (done: Promise<void>) => Promise.race([done.then(since), overdue])
      const tookMs = {
        'lease that is waited for': until(waiting),
        'lease that nobody looked at': until(acquire(names[1])),
        leader: until(untilLed(session, writers, cutOff)),
      }
      for (const [who, done] of Object.entries(tookMs)) {
        const ms = await done
        // Where the server had to recover meanwhile, that is what took so long.
        if ((await server.crashes()) > crashesBefore) continue
        longest.see({ [who]: ms })
        if (ms > 2 * TTL_MS + TOLERANCE_MS)
          failures.push(`step ${number}, ${what}: ${who} took ${Math.round(ms)} ms`)
      }
      cutOff?.proxy.pass()
      for (const { failure } of writers)
        if (failure !== undefined) failures.push(`step ${number}: ${failure}`)
      // What is stuck stays so.
      if (since() > STUCK_MS) break
    }

    for (const writer of writers) await writer.stop()
    await client.close()
    const { writes, stale } = await fenceOf(session, ELECTION)
    const terms = writers.reduce((sum, writer) => sum + writer.terms, 0)
    console.log(
      `SEED=${seed} STEPS=${steps} TTL ${TTL_MS} ms: ${terms} terms, ${writes} guarded writes, ${stale} stale, ${await server.crashes()} crashes of the server; longest after a step: ${longest}`,
    )
    expect(stale).toBe(0)
    expect(failures).toEqual([])
    expect(terms).toBeGreaterThan(1)
  },
)

/** Each of them in turn, in an order of its own. */
function draw(random: Random, number: number): [string, Change] {
  const all = Object.entries(changes)
  return all[number < all.length ? number : Math.floor(random() * all.length)] as [string, Change]
}
