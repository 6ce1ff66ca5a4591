import { randomFillSync } from 'node:crypto'
import { hostname } from 'node:os'

/** Each name takes as many random bytes as make eight letters. */
const RANDOM_BYTES = 6

/** Fetched for many names at once: each time costs as much, however many bytes it is for. */
const pool = Buffer.alloc(RANDOM_BYTES * 512)
let used = pool.length

let ownLabel: string | undefined

/**
 * Makes the name by which one contender is known: a readable part and a random one.
 *
 * The random part is new for each contender, also where the readable part is the user's. Two contenders of one name would be the
 * same holder to the database, and both would be told that they lead.
 */
export function makeHolder(label?: string): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += RANDOM_BYTES
  ownLabel ??= `${hostname()}:${process.pid}`
  return `${label ?? ownLabel}:${pool.toString('base64url', used - RANDOM_BYTES, used)}`
}
