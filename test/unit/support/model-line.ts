import type { StubClock } from './stub-clock.ts'

interface Place {
  readonly candidate: string
  priority: number
  arrival: number
  ttlMs: number
  metadata: object | null
  /** The session that is told of a hand-off. */
  backend: number
  expiresAtMs: number
}

/** What a candidate says as it takes its place. */
export interface Waiting {
  readonly priority: number
  readonly backend: number
}

/** Those who wait, by the rules of `sql/internal/*line*`: by priority, then arrival, for as long as their places are refreshed. */
export class ModelLine {
  readonly #clock: StubClock
  readonly #lines = new Map<string, Map<string, Place>>()
  #arrivals = 0

  constructor(clock: StubClock) {
    this.#clock = clock
  }

  /** Takes a place, or refreshes the one that it has. @returns its rank. */
  stand(
    name: string,
    candidate: string,
    ttlMs: number,
    metadata: object | null,
    { priority, backend }: Waiting,
  ): number {
    const line = this.#lines.get(name) ?? new Map<string, Place>()
    this.#lines.set(name, line)
    // Whoever was away for longer than its place lasts stands at the end.
    const arrival = this.#place(name, candidate)?.arrival ?? ++this.#arrivals
    const expiresAtMs = this.#clock.trueMs + ttlMs
    line.set(candidate, { candidate, priority, arrival, ttlMs, metadata, backend, expiresAtMs })
    return this.rank(name, candidate, priority)
  }

  /** How many go before it; one that is not in line would come last of its priority. */
  rank(name: string, candidate: string, priority: number): number {
    const own = this.#place(name, candidate)?.arrival ?? Number.POSITIVE_INFINITY
    return this.#waiting(name).filter(
      (place) =>
        place.candidate !== candidate &&
        (place.priority > priority || (place.priority === priority && place.arrival < own)),
    ).length
  }

  /** Null: it is not in line. */
  rankOf(name: string, candidate: string): number | null {
    const place = this.#place(name, candidate)
    return place === undefined ? null : this.rank(name, candidate, place.priority)
  }

  /** Keeps a place for another TTL, also one that has run out and was not removed. */
  refresh(name: string, candidate: string, backend: number): void {
    const place = this.#lines.get(name)?.get(candidate)
    if (place === undefined) return
    place.expiresAtMs = this.#clock.trueMs + place.ttlMs
    place.backend = backend
  }

  leave(name: string, candidate: string): void {
    this.#lines.get(name)?.delete(candidate)
  }

  first(name: string): Readonly<Place> | undefined {
    return this.#waiting(name)[0]
  }

  waiting(name: string, candidate: string): Readonly<Place> | undefined {
    return this.#place(name, candidate)
  }

  /** The candidates, the next one first. */
  candidates(name: string): string[] {
    return this.#waiting(name).map(({ candidate }) => candidate)
  }

  #place(name: string, candidate: string): Place | undefined {
    return this.#waiting(name).find((place) => place.candidate === candidate)
  }

  #waiting(name: string): Place[] {
    return [...(this.#lines.get(name)?.values() ?? [])]
      .filter(({ expiresAtMs }) => expiresAtMs > this.#clock.trueMs)
      .sort((one, other) => other.priority - one.priority || one.arrival - other.arrival)
  }
}
