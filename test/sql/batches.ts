import type pg from 'pg'
import { grantColumns, rowsOf } from './leases.ts'
import type { Answer } from './line.ts'

/** One of many that are asked for in one call. */
export interface Asked {
  readonly name: string
  readonly holder: string
  readonly ttl?: string
  readonly metadata?: unknown
}

export interface Answered extends Answer {
  readonly name: string
}

/** Asks for all of them in one call. */
export function acquireAll(client: pg.Client, asked: readonly Asked[]): Promise<Answered[]> {
  const text = `SELECT name, ${grantColumns}, rank
    FROM elect.acquire_leases(names => $1, holders => $2, ttls => $3, metadata_list => $4)`
  const metadata = asked.map((one) => (one.metadata === undefined ? null : JSON.stringify(one.metadata)))
  return rowsOf(client, text, [
    asked.map(({ name }) => name),
    asked.map(({ holder }) => holder),
    asked.map(({ ttl = '15 seconds' }) => ttl),
    asked.some((one) => one.metadata !== undefined) ? metadata : null,
  ])
}

/** Asks for leases of these names for one holder, and returns their tokens; all have to be vacant. */
export async function grantAllTo(
  client: pg.Client,
  names: readonly string[],
  holder: string,
  ttl?: string,
): Promise<number[]> {
  const answers = await acquireAll(
    client,
    names.map((name) => ({ name, holder, ...(ttl === undefined ? {} : { ttl }) })),
  )
  return answers.map(({ name, granted, token }) => {
    if (granted !== true || token === null) throw new Error(`${name} was not granted to ${holder}`)
    return token
  })
}

/** Gives all of them back in one call. */
export async function releaseAll(
  client: pg.Client,
  leases: readonly (readonly [name: string, token: number])[],
): Promise<(boolean | null)[]> {
  const text = 'SELECT name, released FROM elect.release_leases(names => $1, tokens => $2)'
  const names = leases.map(([name]) => name)
  const rows = await rowsOf<{ name: string; released: boolean | null }>(client, text, [
    names,
    leases.map(([, token]) => token),
  ])
  if (rows.some(({ name }, place) => name !== names[place])) throw new Error('the answers are out of order')
  return rows.map(({ released }) => released)
}
