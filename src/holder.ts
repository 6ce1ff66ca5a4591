import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'

/**
 * Makes the name by which one contender is known: a readable part and a random one.
 *
 * The random part is new for each contender, also where the readable part is the user's. Two contenders of one name would be the
 * same holder to the database, and both would be told that they lead.
 */
export function makeHolder(label: string = `${hostname()}:${process.pid}`): string {
  return `${label}:${randomBytes(6).toString('base64url')}`
}
