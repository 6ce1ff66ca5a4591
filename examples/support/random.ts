/** A number from 0 to 1, the next one at each call. */
export type Random = () => number

/**
 * Chance that can be replayed: the same seed and label give the same numbers. Each use has a label of its own, so that what one
 * draws does not depend on how often another did.
 */
export function seededRandom(seed: number, label: string): Random {
  let state = seed >>> 0
  for (const char of label) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function between(random: Random, from: number, to: number): number {
  return from + random() * (to - from)
}

/** A new list in random order. */
export function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((item) => ({ item, place: random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item)
}
