import { constants } from 'node:os'

// One Ctrl-C can arrive three times: from the terminal, and handed down by npm and by tsx.
const SAME_KEY_MS = 400

/** Why an example ended before its time. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  /** As shells have it. */
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super(`interrupted by ${signal}`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

/** Calls back at the first signal to end; the second one ends the process at once. */
export function onInterruption(interrupted: (reason: Interrupted) => void): void {
  let firstAtMs: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const reason = new Interrupted(signal)
      if (firstAtMs === undefined) {
        firstAtMs = performance.now()
        interrupted(reason)
      } else if (performance.now() - firstAtMs > SAME_KEY_MS) {
        process.exit(reason.exitCode)
      }
    })
  }
}
