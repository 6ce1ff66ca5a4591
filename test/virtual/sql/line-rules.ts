/** The rules of a line: by priority, then arrival, for as long as places are kept. */
import { type Place, SLACK_MS } from './tables.ts'

export class LineRules {
  readonly places = new Map<string, Place>()
  #arrivals = 0

  /** Those who wait, the next one first. */
  line(name: string, at: number): Place[] {
    return this.#inOrder(name).filter((place) => this.isWaiting(place, at))
  }

  /** How many go before it; one that is not in line would come last of its priority. */
  protected rank(name: string, candidate: string, priority: number, at: number): number {
    const line = this.line(name, at)
    const own = line.find((place) => place.candidate === candidate)?.arrival ?? Number.POSITIVE_INFINITY
    return line.filter(
      (place) =>
        place.candidate !== candidate &&
        (place.priority > priority || (place.priority === priority && place.arrival < own)),
    ).length
  }

  protected stand(
    at: number,
    asked: { name: string; holder: string; priority: number; ttl: number; isExclusive: boolean },
  ): number {
    const { name, holder: candidate, priority, ttl, isExclusive } = asked
    const key = keyOf(name, candidate)
    const before = this.places.get(key)
    this.#arrivals += 1
    const keeps = before !== undefined && this.isWaiting(before, at) && before.isExclusive === isExclusive
    const arrival = keeps ? before.arrival : this.#arrivals
    this.places.set(key, {
      line: name,
      candidate,
      priority,
      arrival,
      isExclusive,
      ttl,
      seenAt: at,
      expiresAt: at + ttl,
    })
    return this.rank(name, candidate, priority, at)
  }

  protected endWait(name: string, candidate: string): void {
    this.places.delete(keyOf(name, candidate))
  }

  /** Who stands first, whether it still waits or not. */
  protected foremost(name: string): Place | undefined {
    return this.#inOrder(name)[0]
  }

  /** The first who still waits; places of the dead before it go. */
  protected first(name: string, at: number): Place | undefined {
    for (const place of this.#inOrder(name)) {
      if (this.isWaiting(place, at)) return place
      this.endWait(name, place.candidate)
    }
    return undefined
  }

  /** A place from the future would outlive its candidate: it does not count until that says so anew. */
  protected isWaiting({ expiresAt, seenAt }: Place, at: number): boolean {
    return expiresAt > at && seenAt <= at + SLACK_MS
  }

  #inOrder(name: string): Place[] {
    return [...this.places.values()]
      .filter(({ line }) => line === name)
      .sort((one, other) => other.priority - one.priority || one.arrival - other.arrival)
  }
}

/** Of a place. */
export function keyOf(line: string, candidate: string): string {
  return `${line} ${candidate}`
}
