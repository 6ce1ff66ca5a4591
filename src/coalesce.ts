/**
 * What callers of one process ask for in the same moment travels as one statement.
 *
 * Nobody waits for company: what is asked for while no statement of its kind is under way is sent in the same turn of the event loop.
 * What is asked for meanwhile gathers, and goes as soon as that has been answered. So statements grow with the load by themselves.
 *
 * Each caller keeps an answer and an error of its own. What the server says of a statement of many says nothing yet of each of them:
 * nothing of it was written, and each is asked alone.
 */
import type { Clock, Instant, Timer } from './clock.ts'
import { ConnectionError, saysTooMuch, wasNeverSent } from './errors.ts'
import type { ExecuteOptions } from './sql-call.ts'

/** How requests of one kind are asked, decided, and answered. */
export interface Kind<Request, Answer> {
  /** Asks for one, in its own statement. */
  one(request: Request, options: ExecuteOptions): Promise<Answer>
  /** Asks for several in one statement. @returns how to read the answer of each, in their order; undefined: that one has to be asked alone. */
  many(
    requests: readonly Request[],
    options: ExecuteOptions,
  ): Promise<readonly ((() => Answer) | undefined)[]>
  /** What need not be asked, as this process knows the answer at the moment of sending. */
  known?(request: Request): Answer | undefined
  /** Called before a statement is sent. */
  beforeSending?(): void
}

/** An answer, and when the statement that it answers was sent, or a moment before. */
export interface Answered<Answer> {
  readonly answer: Answer
  readonly sentAt: Instant
}

interface Waiting<Request, Answer> {
  readonly request: Request
  readonly timeoutMs: number
  /** Until when it has to be sent, by the monotonic clock; infinite: it is about to be. */
  dueAtMs: number
  resolve(answered: Answered<Answer>): void
  reject(error: unknown): void
}

/**
 * More in one statement take no less time each, and those behind them wait for longer. Each grant takes an entry of the server's lock table,
 * which has 64 for each connection by default.
 */
const TOGETHER_MAX = 128

/** One is served while the callers of the other take in its answers. */
const UNDER_WAY_MAX = 2

export class Coalescer<Request, Answer> {
  readonly #kind: Kind<Request, Answer>
  readonly #clock: Clock
  #waiting: Waiting<Request, Answer>[] = []
  #underWay = 0
  #isScheduled = false
  #timer: Timer | undefined
  #timerDueAtMs = Number.POSITIVE_INFINITY

  constructor(kind: Kind<Request, Answer>, clock: Clock) {
    this.#kind = kind
    this.#clock = clock
  }

  /**
   * Asks, together with whoever asks in the same moment.
   *
   * @param timeoutMs - how long it may wait to be sent, and then stay unanswered
   * @throws ConnectionError that says that nothing was done, if those before it took that long.
   */
  ask(request: Request, timeoutMs: number): Promise<Answered<Answer>> {
    return new Promise((resolve, reject) => {
      const waiting = { request, timeoutMs, dueAtMs: Number.POSITIVE_INFINITY, resolve, reject }
      this.#waiting.push(waiting)
      if (this.#underWay < UNDER_WAY_MAX) this.#schedule()
      else this.#limit(waiting, this.#clock.now().monotonicMs)
    })
  }

  /** Sends what waits, whatever is under way: something is about to be sent that must not overtake it. */
  sendNow(): void {
    while (this.#waiting.length > 0) this.#sendNext()
  }

  /** Once all that runs in this turn has asked: the answers of one statement set off the next requests. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(this.#sendAll)
  }

  readonly #sendAll = (): void => {
    this.#isScheduled = false
    while (this.#waiting.length > 0 && this.#underWay < UNDER_WAY_MAX) this.#sendNext()
    if (this.#waiting.length === 0) return
    // More than can be sent at once.
    const nowMs = this.#clock.now().monotonicMs
    for (const waiting of this.#waiting) this.#limit(waiting, nowMs)
  }

  /** Nobody could connect: whoever waits shares that attempt, as all do who ask during it. The next one is for those who ask again. */
  #failWaiting(error: unknown): void {
    if (!wasNeverSent(error)) return
    const waiting = this.#waiting
    this.#waiting = []
    this.#disarm()
    for (const { reject } of waiting) reject(error)
  }

  /** From now on it waits. */
  #limit(waiting: Waiting<Request, Answer>, nowMs: number): void {
    waiting.dueAtMs = Math.min(waiting.dueAtMs, nowMs + waiting.timeoutMs)
    if (waiting.dueAtMs < this.#timerDueAtMs) this.#arm(waiting.dueAtMs, waiting.dueAtMs - nowMs)
  }

  #sendNext(): void {
    this.#underWay += 1
    this.#kind.beforeSending?.()
    const group = this.#take()
    const sentAt = this.#clock.now()
    const unknown =
      this.#kind.known === undefined ? group : group.filter((one) => !this.#isKnown(one, sentAt))
    const [first] = unknown
    if (first === undefined) this.#goOn()
    else {
      const asking = unknown.length > 1 ? this.#askTogether(unknown, sentAt) : this.#askAlone(first, sentAt)
      void asking.then(this.#goOn)
    }
  }

  readonly #goOn = (): void => {
    this.#underWay -= 1
    if (this.#waiting.length > 0) this.#schedule()
  }

  #take(): readonly Waiting<Request, Answer>[] {
    const group = this.#waiting.splice(0, TOGETHER_MAX)
    if (this.#waiting.length === 0) this.#disarm()
    return group
  }

  #isKnown({ request, resolve }: Waiting<Request, Answer>, sentAt: Instant): boolean {
    const answer = this.#kind.known?.(request)
    if (answer !== undefined) resolve({ answer, sentAt })
    return answer !== undefined
  }

  async #askAlone(one: Waiting<Request, Answer>, sentAt: Instant): Promise<void> {
    try {
      const answer = await this.#kind.one(one.request, { timeoutMs: one.timeoutMs })
      one.resolve({ answer, sentAt })
    } catch (error) {
      one.reject(error)
      this.#failWaiting(error)
    }
  }

  async #askTogether(group: readonly Waiting<Request, Answer>[], sentAt: Instant): Promise<void> {
    let timeoutMs = Number.POSITIVE_INFINITY
    for (const one of group) timeoutMs = Math.min(timeoutMs, one.timeoutMs)
    let answers: readonly ((() => Answer) | undefined)[]
    try {
      const requests = group.map(({ request }) => request)
      answers = await this.#kind.many(requests, { timeoutMs })
    } catch (error) {
      // The connection: the same for all of them, and asking again is for those above.
      if (isOfConnection(error)) {
        for (const { reject } of group) reject(error)
        this.#failWaiting(error)
        return
      }
      answers = []
    }
    const alone: Promise<void>[] = []
    for (const [place, one] of group.entries()) {
      const read = answers[place]
      if (read === undefined) alone.push(this.#askAlone(one, this.#clock.now()))
      else settle(one, read, sentAt)
    }
    await Promise.all(alone)
  }

  #arm(dueAtMs: number, delayMs: number): void {
    this.#disarm()
    this.#timerDueAtMs = dueAtMs
    this.#timer = this.#clock.setTimer(() => this.#giveUp(), delayMs)
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerDueAtMs = Number.POSITIVE_INFINITY
  }

  /** Whoever has waited for too long is told so; it was not asked for. */
  #giveUp(): void {
    this.#disarm()
    const nowMs = this.#clock.now().monotonicMs
    const late = this.#waiting.filter(({ dueAtMs }) => dueAtMs <= nowMs)
    this.#waiting = this.#waiting.filter(({ dueAtMs }) => dueAtMs > nowMs)
    for (const { timeoutMs, reject } of late) {
      const message = `No answer from the database: what was asked before took longer than ${timeoutMs} ms`
      reject(new ConnectionError(message, { mayHaveTakenEffect: false }))
    }
    for (const waiting of this.#waiting) this.#limit(waiting, nowMs)
  }
}

function isOfConnection(error: unknown): boolean {
  if (error instanceof ConnectionError) return !saysTooMuch(error)
  return wasNeverSent(error)
}

/** One answer that cannot be read is the error of its own caller. */
function settle<Request, Answer>(
  { resolve, reject }: Waiting<Request, Answer>,
  read: () => Answer,
  sentAt: Instant,
): void {
  try {
    resolve({ answer: read(), sentAt })
  } catch (error) {
    reject(error)
  }
}
