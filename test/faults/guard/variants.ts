import { early } from './checker.ts'

/** A way to lead and to write as the leader. All variants act out the same schedules. */
export interface Variant {
  readonly name: string
  /** For `$1` the lease and `$2` the token: fails, or returns no row, unless it leads. */
  readonly check: string
  /** Whether the table checks by itself, so that a write without a check is an attempt worth making. */
  readonly isProtected: boolean
  /** Whether the owner of elect.leases takes over by an UPDATE of his own. */
  readonly takesOverByHand: boolean
  readonly isGuarded: boolean
}

const assertLease = 'SELECT true AS leads FROM elect.assert_lease($1, $2)'
const looksLed = 'SELECT true AS leads FROM elect.get_lease($1) WHERE token = $2'

const guarded: Variant = {
  name: 'assert_lease',
  check: assertLease,
  isProtected: false,
  takesOverByHand: false,
  isGuarded: true,
}

export const variants: readonly Variant[] = [
  guarded,
  { ...guarded, name: 'protected table', isProtected: true },
  { ...guarded, name: 'takeover by hand', takesOverByHand: true },
  { ...guarded, name: 'unguarded', check: looksLed, isGuarded: false },
]

export const acquireLease = `SELECT token::float8, granted FROM elect.acquire_lease($1, $2, $3 * interval '1 ms')`

/** Returns no row if somebody else has it, unless it seizes. Knows nothing of guards: the server has to make it wait. */
export const takeOverByHand = `UPDATE elect.leases
  SET holder = $2 || CASE WHEN $4 THEN '${early.seizer}' ELSE '' END,
      token = greatest(token + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint), version = version + 1,
      acquired_at = clock_timestamp(), renewed_at = clock_timestamp(),
      expires_at = clock_timestamp() + $3 * interval '1 ms', ttl = $3 * interval '1 ms', metadata = NULL
  WHERE name = $1 AND ($4 OR holder IS NULL OR expires_at <= clock_timestamp())
  RETURNING token::float8, true AS granted`
