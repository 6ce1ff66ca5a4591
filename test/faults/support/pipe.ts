import type { Socket } from 'node:net'

/** What goes one way through a connection: in order, and not before it is due. */
export class Pipe {
  readonly #to: Socket
  readonly #isHeld: () => boolean
  readonly #waiting: { readonly act: (to: Socket) => void; readonly dueAtMs: number }[] = []
  #timer: NodeJS.Timeout | undefined
  #isSilent = false

  /** @param isHeld - asked before each delivery; call {@link pump} once it says no again */
  constructor(to: Socket, isHeld: () => boolean) {
    this.#to = to
    this.#isHeld = isHeld
    to.once('close', () => clearTimeout(this.#timer))
  }

  push(act: (to: Socket) => void, delayMs = 0): void {
    if (this.#isSilent) return
    this.#waiting.push({ act, dueAtMs: performance.now() + delayMs })
    this.pump()
  }

  /** Nothing more comes through. What is on its way arrives. */
  silence(): void {
    this.#isSilent = true
  }

  /** Delivers what is due. */
  pump(): void {
    clearTimeout(this.#timer)
    for (let next = this.#waiting[0]; next !== undefined && !this.#isHeld(); next = this.#waiting[0]) {
      const earlyMs = next.dueAtMs - performance.now()
      if (earlyMs > 0) {
        this.#timer = setTimeout(() => this.pump(), earlyMs)
        return
      }
      this.#waiting.shift()
      if (!this.#to.destroyed) next.act(this.#to)
    }
  }
}
