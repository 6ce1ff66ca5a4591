/** A few real connections for very many who ask: a statement waits until one of them is free, as behind a pooler in transaction mode. */
import type pg from 'pg'

/** What is to be done on a connection of which nobody else has the use meanwhile. */
type Work = (session: pg.Client) => Promise<void>

/** To take each one out by itself would move all that still wait. */
const FORGOTTEN_AT_ONCE = 1000

export class Connections {
  readonly #idle: pg.Client[]
  /** Who waits, in the order in which they came; those before `#next` have been served. */
  readonly #waiting: Work[] = []
  #next = 0
  #busy = 0
  readonly #onIdle: (() => void)[] = []

  constructor(sessions: readonly pg.Client[]) {
    this.#idle = [...sessions]
  }

  /** So many wait for a connection. */
  get waiting(): number {
    return this.#waiting.length - this.#next
  }

  submit(work: Work): void {
    this.#waiting.push(work)
    this.#serve()
  }

  /** Resolves once nobody waits and nothing is under way. */
  async idle(): Promise<void> {
    if (this.waiting + this.#busy > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  #serve(): void {
    while (this.waiting > 0) {
      const session = this.#idle.pop()
      if (session === undefined) return
      const work = this.#waiting[this.#next] as Work
      this.#next += 1
      if (this.#next === FORGOTTEN_AT_ONCE) {
        this.#waiting.splice(0, this.#next)
        this.#next = 0
      }
      this.#busy += 1
      const done = () => {
        this.#busy -= 1
        this.#idle.push(session)
        this.#serve()
        if (this.waiting + this.#busy === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
      }
      // Whoever asked has dealt with its errors.
      work(session).then(done, done)
    }
  }
}
