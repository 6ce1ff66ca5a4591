/** The moments of one call: when it began, and when it had the lock that it waited for. */
export class CallTime {
  #nowMs: number
  #waitMs: number

  /** @param waitMs - how long the call waits for the first row lock that it takes; time passes then and only then */
  constructor(beganAtMs: number, waitMs: number) {
    this.#nowMs = beganAtMs
    this.#waitMs = waitMs
  }

  /** What `clock_timestamp()` shows. */
  get now(): number {
    return this.#nowMs
  }

  /** The call takes a row lock. */
  lock(): void {
    this.#nowMs += this.#waitMs
    this.#waitMs = 0
  }
}
