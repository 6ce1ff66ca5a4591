import type pg from 'pg'
import { oneRow, rowsOf } from './leases.ts'

/** The answer of acquire_share. Numbers rather than strings: all of them fit 53 bits. */
export interface ShareGrant {
  readonly lease: string | null
  readonly granted: boolean | null
  readonly holder: string | null
  readonly token: number | null
  readonly version: number | null
  readonly metadata: unknown
  readonly expiresInMs: number | null
  readonly rank: number | null
}

/** What acquire_share may be told beside the name and the holder; what is left out is the function's default. */
export interface Wish {
  readonly exclusive?: boolean | null
  readonly capacity?: number | null
  readonly ttl?: string | null
  readonly metadata?: unknown
  readonly wait?: boolean | null
  readonly priority?: number | null
}

/** A share that somebody has. */
export interface Share {
  readonly lease: string
  readonly token: number
}

/** A refusal that knows nobody who holds anything. */
export const nobodySharing = {
  lease: null,
  granted: false,
  holder: null,
  token: null,
  version: null,
  metadata: null,
  expiresInMs: null,
  rank: null,
} as const

const grantColumns = `lease, granted, holder, token::float8, version::float8, metadata,
  (extract(epoch FROM expires_in) * 1000)::float8 AS "expiresInMs", rank`

export function share(
  client: pg.Client,
  name: string | null,
  holder: string | null,
  wish: Wish = {},
): Promise<ShareGrant> {
  const entries = Object.entries(wish)
  const named = entries.map(([argument], index) => `, ${argument} => $${index + 3}`).join('')
  const text = `SELECT ${grantColumns} FROM elect.acquire_share(name => $1, holder => $2${named})`
  const values = entries.map(([argument, value]) =>
    argument === 'metadata' && value !== null ? JSON.stringify(value) : value,
  )
  return oneRow(client, text, [name, holder, ...values])
}

/** Asks for a share that there has to be room for. */
export async function shareTo(
  client: pg.Client,
  name: string,
  holder: string,
  wish: Wish = {},
): Promise<Share> {
  const { granted, lease, token } = await share(client, name, holder, { ttl: '1 hour', ...wish })
  if (granted !== true || lease === null || token === null) {
    throw new Error(`${holder} was granted no share of ${name}`)
  }
  return { lease, token }
}

/** Stands in line, where there must not be room, and returns the rank. */
export async function standTo(
  client: pg.Client,
  name: string,
  holder: string,
  wish: Wish = {},
): Promise<number> {
  const { granted, rank } = await share(client, name, holder, { ttl: '1 hour', wait: true, ...wish })
  if (granted !== false || rank === null) throw new Error(`${holder} does not stand in line for ${name}`)
  return rank
}

/** What the holder was granted while it waited. */
export async function handedTo(client: pg.Client, name: string, holder: string): Promise<ShareGrant> {
  const text = `SELECT ${grantColumns} FROM elect.get_candidacy(name => $1, holder => $2)`
  return oneRow(client, text, [name, holder])
}

/** Who has a share now, the oldest share first. */
export async function sharersOf(client: pg.Client, name: string): Promise<string[]> {
  const text = 'SELECT holder FROM elect.get_shares(name => $1)'
  return (await rowsOf<{ holder: string }>(client, text, [name])).map(({ holder }) => holder)
}

/** Who waits, the next one first. */
export async function lineOf(client: pg.Client, name: string): Promise<string[]> {
  const text = 'SELECT candidate FROM elect.get_candidates(name => $1) ORDER BY rank'
  return (await rowsOf<{ candidate: string }>(client, text, [name])).map(({ candidate }) => candidate)
}

/** Lets leases run out without waiting for it: the table's owner writes that they did, an hour ago. */
export async function expire(client: pg.Client, ...leases: string[]): Promise<void> {
  const text = `UPDATE elect.leases
    SET renewed_at = clock_timestamp() - interval '2 hours', expires_at = clock_timestamp() - interval '1 hour'
    WHERE name = ANY ($1) AND holder IS NOT NULL`
  const { rowCount } = await client.query(text, [leases])
  if (rowCount !== leases.length) throw new Error(`not all of them are held: ${leases}`)
}

export async function setCapacity(client: pg.Client, name: string, capacity: number | null): Promise<void> {
  await client.query('SELECT elect.set_capacity(name => $1, capacity => $2)', [name, capacity])
}

/** The rows behind the functions, with their places and writers: whoever wrote anything has changed them. */
export async function everythingStored(client: pg.Client): Promise<unknown[]> {
  const tables = ['leases', 'shared_leases', 'candidates']
  const found: unknown[] = []
  for (const table of tables) {
    found.push(await rowsOf(client, `SELECT ctid, xmin, xmax, t.* FROM elect.${table} t ORDER BY ctid`))
  }
  return found
}
