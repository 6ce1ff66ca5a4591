import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Election, LeaseInfo } from '../../src/index.ts'
import { duration, type Screen } from '../support/screen.ts'
import type { Candidates } from './candidates.ts'

const REDRAW_MS = 100

/** What a picture is made of. */
export interface PictureParts {
  readonly election: Election
  readonly candidates: Candidates
  readonly ttlMs: number
  readonly screen: Screen
  /** Is told of an error that ends the watching. */
  readonly failed: (error: unknown) => void
}

/** Shows who leads. The database says so: what candidates think of themselves is not asked. */
export class Picture implements AsyncDisposable {
  readonly #parts: PictureParts
  readonly #closing = new AbortController()
  readonly #changes = new EventEmitter()
  readonly #running: Promise<unknown>
  #leader: LeaseInfo | null = null

  constructor(parts: PictureParts) {
    this.#parts = parts
    this.#running = Promise.all([this.#observe(), this.#redraw()]).catch(parts.failed)
  }

  /** Resolves once somebody leads under a larger token than that one. */
  async leaderAfter(token: number, signal: AbortSignal): Promise<LeaseInfo> {
    while (this.#leader === null || this.#leader.token <= token)
      await once(this.#changes, 'change', { signal })
    return this.#leader
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#running
    this.#parts.screen.draw([])
  }

  /** Changes of leader, as the database tells them. */
  async #observe(): Promise<void> {
    const { election, screen } = this.#parts
    for await (const { leader, previous } of election.observe({ signal: this.#closing.signal })) {
      this.#leader = leader
      if (leader !== null)
        screen.event(screen.style('green', `${nameOf(leader)} leads, token ${leader.token}`))
      else if (previous !== null) screen.event('nobody leads')
      this.#changes.emit('change')
    }
  }

  /** The time that is left changes with each renewal, which is no change of leader: it is read anew for each drawing. */
  async #redraw(): Promise<void> {
    const { election, screen } = this.#parts
    if (!screen.isLive) return
    const { signal } = this.#closing
    while (!signal.aborted) {
      const lease = await election.leader().catch(() => undefined)
      if (signal.aborted) return
      screen.draw(this.#block(lease))
      await delay(REDRAW_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** @param lease - null: nobody leads; undefined: the database has not answered. */
  #block(lease: LeaseInfo | null | undefined): string[] {
    const { candidates, ttlMs, screen } = this.#parts
    const rows = candidates.all.map(({ name, pid, state, isAlive }) => {
      const isHolder = lease != null && nameOf(lease) === name
      const [word, colour] = isAlive
        ? isHolder
          ? (['leads', 'green'] as const)
          : ([state === 'running' ? 'waits' : state, 'dim'] as const)
        : ([state, state === 'stopped' ? 'dim' : 'red'] as const)
      const note = !isHolder ? '' : isAlive ? `token ${lease.token}` : 'its lease has not run out yet'
      return `  ${name}   pid ${String(pid).padEnd(8)}${screen.style(colour, word.padEnd(10))}${note}`
    })
    return ['', ...rows, `  ${'the lease'.padEnd(14)}${leaseText(lease, ttlMs, screen)}`]
  }
}

/** The candidate that holds a lease, as the metadata of its election tell. */
export function nameOf(lease: LeaseInfo): string {
  return String(lease.metadata?.candidate ?? lease.holder)
}

function leaseText(lease: LeaseInfo | null | undefined, ttlMs: number, screen: Screen): string {
  if (lease === undefined) return 'the database does not answer'
  if (lease === null) return `${screen.bar(0)}  free`
  const leftMs = lease.expiresInMs ?? 0
  return `${screen.bar(leftMs / ttlMs)}  ${(leftMs / 1000).toFixed(1)} of ${duration(ttlMs, 1)} left`
}
