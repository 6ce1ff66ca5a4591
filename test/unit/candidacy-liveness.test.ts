import { describe, expect, test } from 'vitest'
import { waitForLease } from '../../src/candidacy.ts'
import type { Random } from '../../src/jitter.ts'
import type { Lease } from '../../src/lease.ts'
import { ModelLeases } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { ALMOST_ONE, seededRandom } from './support/random.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

const TTL_MS = 1500
/** With this one a hand-off that is not accepted in 2 s is void long before the next beat. */
const LONG_TTL_MS = 15_000
/** What is added to a TTL for answers that are late or lost, and for the spread of attempts. */
const GRACE_MS = 1000
/** The same for the long one: two calls that are never answered take that much longer to be given up. */
const LONG_GRACE_MS = 7000
const LOOK_MS = 20

interface Faults {
  /** Parts of all calls. */
  readonly failing: number
  readonly unanswered: number
  /** Part of all calls after which the session is lost, and the next one listens to nothing yet. */
  readonly severed: number
  /** Part of all notifications. */
  readonly unheard: number
  readonly latencyMsMax: number
  /** Part of all campaigns that end by a crash while the candidate still waits, or are called off then. */
  readonly dying: number
  readonly quitting: number
}

/** One process that campaigns again and again, and at times works, stops, or crashes. */
class Contender {
  lease: Lease | undefined
  isCrashed = false
  terms = 0
  readonly #process: StubProcess
  readonly #random: Random
  readonly #faults: Faults
  readonly #ttlMs: number

  constructor(clock: StubClock, model: ModelLeases, random: Random, faults: Faults, ttlMs: number) {
    this.#ttlMs = ttlMs
    this.#process = new StubProcess({ clock, model, random, ttlMs })
    this.#random = random
    this.#faults = faults
    this.#process.database.network = (serve) => this.#carry(serve)
    this.#mishear()
    void this.#campaignForEver()
  }

  get leads(): boolean {
    return !this.isCrashed && this.lease?.isHeld === true
  }

  async #campaignForEver(): Promise<void> {
    for (let round = 0; !this.isCrashed; round++) {
      try {
        this.lease = await this.#elected(`${this.#random()} in round ${round}`)
      } catch {
        continue
      }
      this.terms += 1
      await this.#delay(this.#random() * 4 * this.#ttlMs)
      // Nothing that it does reaches the server any more.
      if (this.#random() < 0.3) this.isCrashed = true
      else await this.lease.release()
    }
  }

  async #elected(holder: string): Promise<Lease> {
    const stop = new AbortController()
    const { clock } = this.#process
    const lot = this.#random()
    const { dying, quitting } = this.#faults
    const timer = clock.setTimer(() => {
      if (lot < dying) this.isCrashed = true
      else if (lot < dying + quitting) stop.abort(new Error('called off'))
    }, this.#random() * this.#ttlMs)
    try {
      return await waitForLease(this.#process.context, this.#process.request('job', holder), stop.signal)
    } finally {
      timer.cancel()
    }
  }

  async #carry(serve: () => Promise<readonly object[]>): Promise<readonly object[]> {
    const { failing, unanswered, severed, latencyMsMax } = this.#faults
    await this.#delay(this.#random() * latencyMsMax)
    const lot = this.#random()
    // Some fail before the server has done what was asked, some after.
    if (this.isCrashed) return new Promise(() => {})
    if (this.#random() < severed) this.#process.database.emit('lost')
    if (lot < failing / 2) throw connectionLost()
    const rows = await serve()
    if (lot < failing) throw connectionLost()
    if (lot < failing + unanswered) return new Promise(() => {})
    await this.#delay(this.#random() * latencyMsMax)
    return rows
  }

  #mishear(): void {
    const { database } = this.#process
    const emit = database.emit.bind(database) as (...event: unknown[]) => boolean
    database.emit = ((...event: unknown[]) =>
      event[0] === 'notified' && (this.isCrashed || this.#random() < this.#faults.unheard)
        ? false
        : emit(...event)) as never
  }

  #delay(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#process.clock.setTimer(resolve, ms))
  }
}

/** Looks at three contenders for a while, and puts a new one in the place of each that crashed. */
async function simulate(seed: number, faults: Faults, ttlMs = TTL_MS) {
  const random = seededRandom(seed)
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const join = () => new Contender(clock, model, seededRandom(Math.floor(random() * 2 ** 32)), faults, ttlMs)
  const contenders = [join(), join(), join()]
  let usurped = 0
  model.onTold((_channel, message) => {
    // From a grant on nobody else may believe that it leads.
    const { holder } = JSON.parse(message)
    if (holder === null) return
    usurped += contenders.filter(({ leads, lease }) => leads && lease?.holder !== holder).length
  })
  let terms = 0
  let leaderlessMs = 0
  let leaderlessMsMax = 0
  const lookMs = (LOOK_MS * ttlMs) / TTL_MS
  while (clock.trueMs < 12 * ttlMs) {
    await clock.advance(lookMs)
    // One that led and crashed between two looks has led.
    const termsNow = contenders.reduce((sum, contender) => sum + contender.terms, 0)
    const isLed = termsNow !== terms || contenders.some(({ leads }) => leads)
    leaderlessMs = isLed ? 0 : leaderlessMs + lookMs
    leaderlessMsMax = Math.max(leaderlessMsMax, leaderlessMs)
    for (const [place, { isCrashed }] of contenders.entries()) if (isCrashed) contenders[place] = join()
    terms = contenders.reduce((sum, contender) => sum + contender.terms, 0)
  }
  return { usurped, leaderlessMsMax, tokens: model.grants.map(({ token }) => token) }
}

const FAIR: Faults = {
  failing: 0,
  unanswered: 0,
  severed: 0,
  unheard: 0,
  latencyMsMax: 5,
  dying: 0,
  quitting: 0,
}

const weathers: [weather: string, faults: Faults][] = [
  ['all is well', FAIR],
  ['no notification is heard', { ...FAIR, unheard: 1 }],
  [
    'calls fail, answers and notifications are lost',
    { ...FAIR, failing: 0.15, unanswered: 0.03, unheard: 0.3, latencyMsMax: 30 },
  ],
  ['sessions are lost all the time', { ...FAIR, severed: 0.2, failing: 0.05, latencyMsMax: 30 }],
  ['candidates crash or are called off while they wait', { ...FAIR, dying: 0.3, quitting: 0.3 }],
  [
    'all of that happens at once',
    {
      failing: 0.1,
      unanswered: 0.03,
      severed: 0.1,
      unheard: 0.3,
      latencyMsMax: 30,
      dying: 0.15,
      quitting: 0.15,
    },
  ],
]

describe('while there are candidates', () => {
  test.each(weathers)(
    'one leads within a TTL and a second, and never two, where %s',
    async (_weather, faults) => {
      for (let seed = 1; seed <= 25; seed++) {
        const { usurped, leaderlessMsMax, tokens } = await simulate(seed, faults)
        expect(usurped, `leaders beside another, seed ${seed}`).toBe(0)
        expect(leaderlessMsMax, `without a leader, seed ${seed}`).toBeLessThanOrEqual(TTL_MS + GRACE_MS)
        expect(tokens.length, `grants, seed ${seed}`).toBeGreaterThan(2)
        expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other))
      }
    },
  )

  test('the same holds with a TTL at which a beat comes too late for a hand-off', async () => {
    for (const [weather, faults] of weathers) {
      for (let seed = 1; seed <= 8; seed++) {
        const { usurped, leaderlessMsMax, tokens } = await simulate(seed, faults, LONG_TTL_MS)
        expect(usurped, `leaders beside another, seed ${seed}, where ${weather}`).toBe(0)
        expect(leaderlessMsMax, `without a leader, seed ${seed}, where ${weather}`).toBeLessThanOrEqual(
          LONG_TTL_MS + LONG_GRACE_MS,
        )
        expect(tokens.length, `grants, seed ${seed}`).toBeGreaterThan(2)
      }
    }
  })

  test('one leads as soon as the lease is given back, if it hears of it', async () => {
    const clock = new StubClock()
    const model = new ModelLeases(clock)
    const random = () => ALMOST_ONE
    const [leader, ...followers] = Array.from({ length: 5 }, () => new StubProcess({ clock, model, random }))
    const lease = await leader?.lease('job', 'leader')
    const signal = new AbortController().signal
    const elections = followers.map((process, place) =>
      waitForLease(process.context, process.request('job', `follower ${place}`), signal),
    )
    await clock.advance(1000)
    const looked = followers.map(({ database }) => database.calls.length)
    await lease?.release()
    await clock.settle()
    const successor = await Promise.race(elections)
    expect(successor).toMatchObject({ isHeld: true, holder: 'follower 0' })
    expect(model.grants).toHaveLength(2)
    // The others have not even woken.
    const [, ...others] = followers.map(({ database }) => database.calls.length)
    expect(others).toEqual(looked.slice(1))
  })
})
