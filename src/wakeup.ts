import type { Clock } from './clock.ts'

/** Something that one loop waits for and several others set off. A wake that comes while nobody waits is not lost. */
export class Wakeup {
  readonly #clock: Clock
  #pending = false
  #resume: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ends the wait under way, or the next one before it begins. */
  readonly wake = (): void => {
    this.#pending = true
    this.#resume?.()
  }

  /** Ends the wait under way, if there is one, as if its delay were over. */
  cut(): void {
    this.#resume?.()
  }

  /**
   * Waits until {@link wake} or {@link cut} is called, the delay is over, or the signal aborts, whichever comes first. Never rejects.
   *
   * @returns whether it was woken, rather than timed out or aborted.
   */
  async wait(delayMs: number, signal?: AbortSignal): Promise<boolean> {
    if (!this.#pending && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const finish = () => {
          timer.cancel()
          signal?.removeEventListener('abort', finish)
          this.#resume = undefined
          resolve()
        }
        const timer = this.#clock.setTimer(finish, delayMs)
        signal?.addEventListener('abort', finish, { once: true })
        this.#resume = finish
      })
    }
    const woken = this.#pending
    this.#pending = false
    return woken
  }
}
