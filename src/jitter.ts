/** A source of numbers from 0 up to, not including, 1. Passed in, so that a test's schedule can be repeated. */
export type Random = () => number

/** A span within ± `part` of the given one: for wake-ups that many processes share, so that they do not come as a herd. */
export function jittered(spanMs: number, random: Random, part = 0.1): number {
  return spanMs * (1 - part + 2 * part * random())
}
