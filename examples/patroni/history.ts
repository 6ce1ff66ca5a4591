import { EventEmitter, once } from 'node:events'
import type { Report } from './reports.ts'

/** A write that the database said was committed. */
export interface Acknowledged {
  readonly id: string
  readonly candidate: string
  readonly token: number
  readonly timeline: number
  readonly atMs: number
}

/** A term as it was told by the one who leads. */
export interface Term {
  readonly candidate: string
  readonly token: number
}

/** All that the candidates say, in the order in which it was heard. */
export class History {
  readonly acknowledged: Acknowledged[] = []
  readonly terms: Term[] = []
  refused = 0
  /** Connections lost, servers that cannot be written to, by message. */
  readonly setbacks = new Map<string, number>()
  readonly #events = new EventEmitter<{ heard: [] }>()

  readonly hear = (candidate: string, report: Report): void => {
    switch (report.kind) {
      case 'leads':
        this.terms.push({ candidate, token: report.token })
        break
      case 'acknowledged': {
        const { id, token, timeline, atMs } = report
        this.acknowledged.push({ id, candidate, token, timeline, atMs })
        break
      }
      case 'refused':
        this.refused += 1
        break
      case 'setback':
        this.setbacks.set(report.message, (this.setbacks.get(report.message) ?? 0) + 1)
    }
    this.#events.emit('heard')
  }

  /** Counted from 1, as people count the terms of an office. */
  ordinal(token: number): number {
    return this.terms.findIndex((term) => term.token === token) + 1
  }

  /** @returns the first acknowledged write on that timeline or a later one, once there is one. */
  async firstOn(timeline: number, timeoutMs: number, signal: AbortSignal): Promise<Acknowledged> {
    return this.#until(timeoutMs, signal, () => this.acknowledged.find((write) => write.timeline >= timeline))
  }

  /** Resolves once so many more writes are acknowledged. */
  async more(count: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const goal = this.acknowledged.length + count
    await this.#until(timeoutMs, signal, () => (this.acknowledged.length >= goal ? true : undefined))
  }

  async #until<T>(timeoutMs: number, signal: AbortSignal, look: () => T | undefined): Promise<T> {
    const timeout = AbortSignal.timeout(timeoutMs)
    const either = AbortSignal.any([signal, timeout])
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      try {
        await once(this.#events, 'heard', { signal: either })
      } catch (error) {
        signal.throwIfAborted()
        if (timeout.aborted)
          throw new Error(`no guarded write for ${timeoutMs / 1_000} s: nobody is in charge`)
        throw error
      }
    }
  }
}
