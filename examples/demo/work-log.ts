import { EventEmitter, once } from 'node:events'

/** What a candidate's process says: that it runs, and each thing it does as the leader. */
export type Report = { kind: 'ready' } | Work

/** Something done as the leader, under the token of that term. */
export interface Work {
  readonly kind: 'began' | 'step' | 'ended'
  readonly token: number
  readonly atMs: number
}

type Entry = Work & { readonly candidate: string }

/** The monotonic clock, which all processes of a machine share: what they note by it can be put in order. */
export function machineTimeMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** What all candidates have done, to prove afterwards that no two worked at the same time. */
export class WorkLog {
  readonly #entries: Entry[] = []
  readonly #added = new EventEmitter()

  get size(): number {
    return this.#entries.length
  }

  add(candidate: string, work: Work): void {
    this.#entries.push({ ...work, candidate })
    this.#added.emit('entry')
  }

  /** Resolves once the leader of that term has begun to work, with the moment at which it did. */
  async began(token: number, signal: AbortSignal): Promise<number> {
    for (;;) {
      const entry = this.#entries.find((one) => one.kind === 'began' && one.token === token)
      if (entry !== undefined) return entry.atMs
      await once(this.#added, 'entry', { signal })
    }
  }

  /**
   * Looks for work of two candidates that overlaps. In the order of time tokens may only grow: a smaller one after a larger one is
   * somebody who still worked when the next had begun.
   *
   * @returns what was found; undefined if all is well.
   */
  overlap(): string | undefined {
    const inOrder = this.#entries.toSorted((one, other) => one.atMs - other.atMs)
    let latest: Entry | undefined
    for (const entry of inOrder) {
      const isLate = latest !== undefined && entry.token < latest.token
      const isDouble = entry.token === latest?.token && entry.candidate !== latest.candidate
      if (isLate || isDouble) {
        return `${entry.candidate} worked under token ${entry.token} while ${latest?.candidate} did under ${latest?.token}`
      }
      latest = entry
    }
    return undefined
  }
}
