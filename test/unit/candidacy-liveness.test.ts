import { describe, expect, test } from 'vitest'
import { waitForLease } from '../../src/candidacy.ts'
import type { Random } from '../../src/jitter.ts'
import type { Lease } from '../../src/lease.ts'
import { ModelLeases } from './support/model-leases.ts'
import { connectionLost } from './support/pg-errors.ts'
import { ALMOST_ONE, seededRandom } from './support/random.ts'
import { type Answer, NEVER } from './support/scripted-database.ts'
import { StubClock } from './support/stub-clock.ts'
import { StubProcess } from './support/stub-process.ts'

const TTL_MS = 1500
/** What is added to a TTL for answers that are late or lost, and for the spread of attempts. */
const GRACE_MS = 1000
const LOOK_MS = 20

interface Faults {
  /** Parts of all calls. */
  readonly failing: number
  readonly unanswered: number
  /** Part of all notifications. */
  readonly unheard: number
  readonly latencyMsMax: number
}

/** One process that campaigns again and again, and at times works, stops, or crashes. */
class Contender {
  lease: Lease | undefined
  isCrashed = false
  readonly #process: StubProcess
  readonly #random: Random

  constructor(clock: StubClock, model: ModelLeases, random: Random, faults: Faults) {
    this.#process = new StubProcess({ clock, model, random, ttlMs: TTL_MS })
    this.#random = random
    for (const [name, answer] of Object.entries(model.answers())) {
      this.#process.database.always(name, this.#faulty(answer, faults))
    }
    this.#mishear(faults)
    void this.#campaignForEver()
  }

  get leads(): boolean {
    return !this.isCrashed && this.lease?.isHeld === true
  }

  /** Nothing that it does reaches the server any more. */
  crash(): void {
    this.isCrashed = true
    for (const name of Object.keys(this.#process.model.answers())) this.#process.database.always(name, NEVER)
  }

  async #campaignForEver(): Promise<void> {
    for (let round = 0; !this.isCrashed; round++) {
      const request = this.#process.request('job', `${this.#random()} in round ${round}`)
      this.lease = await waitForLease(this.#process.context, request, this.#process.closing.signal)
      await this.#delay(this.#random() * 4 * TTL_MS)
      if (this.#random() < 0.3) this.crash()
      else await this.lease.release()
    }
  }

  #faulty(answer: Answer, { failing, unanswered, latencyMsMax }: Faults): Answer {
    if (typeof answer !== 'function') return answer
    return async (call) => {
      await this.#delay(this.#random() * latencyMsMax)
      const lot = this.#random()
      // Some fail before the server has done what was asked, some after.
      if (this.isCrashed) return new Promise(() => {})
      if (lot < failing / 2) throw connectionLost()
      const rows = await answer(call)
      if (lot < failing) throw connectionLost()
      if (lot < failing + unanswered) return new Promise(() => {})
      await this.#delay(this.#random() * latencyMsMax)
      return rows
    }
  }

  #mishear({ unheard }: Faults): void {
    const { database } = this.#process
    const emit = database.emit.bind(database) as (...event: unknown[]) => boolean
    database.emit = ((...event: unknown[]) =>
      event[0] === 'notified' && (this.isCrashed || this.#random() < unheard)
        ? false
        : emit(...event)) as never
  }

  #delay(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#process.clock.setTimer(resolve, ms))
  }
}

/** Looks at three contenders for a while, and puts a new one in the place of each that crashed. */
async function simulate(seed: number, faults: Faults) {
  const random = seededRandom(seed)
  const clock = new StubClock()
  const model = new ModelLeases(clock)
  const join = () => new Contender(clock, model, seededRandom(Math.floor(random() * 2 ** 32)), faults)
  const contenders = [join(), join(), join()]
  let leaderlessMs = 0
  let leaderlessMsMax = 0
  let leadersMax = 0
  while (clock.trueMs < 12 * TTL_MS) {
    await clock.advance(LOOK_MS)
    const leaders = contenders.filter(({ leads }) => leads).length
    leadersMax = Math.max(leadersMax, leaders)
    leaderlessMs = leaders > 0 ? 0 : leaderlessMs + LOOK_MS
    leaderlessMsMax = Math.max(leaderlessMsMax, leaderlessMs)
    for (const [place, { isCrashed }] of contenders.entries()) if (isCrashed) contenders[place] = join()
  }
  return { leadersMax, leaderlessMsMax, tokens: model.grants.map(({ token }) => token) }
}

const weathers: [weather: string, faults: Faults][] = [
  ['all is well', { failing: 0, unanswered: 0, unheard: 0, latencyMsMax: 5 }],
  ['no notification is heard', { failing: 0, unanswered: 0, unheard: 1, latencyMsMax: 5 }],
  [
    'calls fail, answers and notifications are lost',
    { failing: 0.15, unanswered: 0.03, unheard: 0.3, latencyMsMax: 30 },
  ],
]

describe('while there are candidates', () => {
  test.each(weathers)(
    'one leads within a TTL and a second, and never two, where %s',
    async (_weather, faults) => {
      for (let seed = 1; seed <= 25; seed++) {
        const { leadersMax, leaderlessMsMax, tokens } = await simulate(seed, faults)
        expect(leadersMax, `leaders at once, seed ${seed}`).toBe(1)
        expect(leaderlessMsMax, `without a leader, seed ${seed}`).toBeLessThanOrEqual(TTL_MS + GRACE_MS)
        expect(tokens.length, `grants, seed ${seed}`).toBeGreaterThan(2)
        expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other))
      }
    },
  )

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
    await lease?.release()
    await clock.advance(6)
    const successor = await Promise.race(elections)
    expect(successor.isHeld).toBe(true)
    expect(model.grants).toHaveLength(2)
  })
})
