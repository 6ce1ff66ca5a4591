import type { Mutant } from '../mutant.ts'

/** The database's clock, read after the lock: rule 1. */
export const sqlClock: readonly Mutant[] = [
  {
    name: 'renewal-reads-the-clock-before-the-lock',
    file: 'sql/functions/renew_lease.sql',
    from: `  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  -- What keeps it now must not end before it is kept otherwise.
  is_kept CONSTANT boolean := lease.session IS NULL OR lease.session = session OR (elect.lock_session(lease.session)).session IS NOT NULL;
  -- After the locks: a renewal that waited for them past its expiry must come back refused.
  at timestamptz := clock_timestamp();`,
    to: `  at timestamptz := clock_timestamp();
  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  -- What keeps it now must not end before it is kept otherwise.
  is_kept CONSTANT boolean := lease.session IS NULL OR lease.session = session OR (elect.lock_session(lease.session)).session IS NOT NULL;
  -- After the locks: a renewal that waited for them past its expiry must come back refused.`,
    costs: 'a renewal that waited past the expiry revives a lease that another may have seen as vacant',
    tests: ['test/sql/waiting.test.ts'],
    isQuick: true,
  },
  {
    name: 'renewal-by-now',
    file: 'sql/functions/renew_lease.sql',
    from: 'at timestamptz := clock_timestamp();',
    to: 'at timestamptz := now();',
    costs: 'a renewal in a long transaction extends from its start, so comes back expired already',
    tests: ['test/sql/renew.test.ts'],
  },
  {
    name: 'beat-by-now',
    file: 'sql/functions/renew_leases.sql',
    from: 'clock_timestamp() AS at',
    to: 'now() AS at',
    costs: 'a beat in a long transaction renews what has expired meanwhile',
    tests: ['test/sql/renew-many.test.ts'],
  },
  {
    name: 'acquire-by-now',
    file: 'sql/functions/acquire_lease.sql',
    from: 'at := greatest(at, clock_timestamp());',
    to: 'at := now();',
    costs: 'a grant lasts from the start of the transaction, however long ago that was',
    tests: ['test/sql/acquire.test.ts', 'test/sql/tokens.test.ts'],
  },
  {
    name: 'transfer-reads-the-clock-before-the-lock',
    file: 'sql/functions/transfer_lease.sql',
    from: '  FOR UPDATE;\n  at := clock_timestamp();',
    to: '  FOR UPDATE;\n  at := statement_timestamp();',
    costs: 'a transfer that waited past the expiry hands on what its holder had lost',
    tests: ['test/sql/waiting.test.ts', 'test/sql/guard.test.ts'],
  },
  {
    name: 'guard-by-now',
    file: 'sql/internal/prove_lease.sql',
    from: 'elect.is_held(lease, clock_timestamp())',
    to: 'elect.is_held(lease, now())',
    costs: 'a guard late in a transaction passes for a lease that has expired within it',
    tests: ['test/sql/guard.test.ts'],
  },
  {
    name: 'held-at-its-expiry',
    file: 'sql/internal/is_held.sql',
    from: 'elect.expiry_of(lease) > at',
    to: 'elect.expiry_of(lease) >= at',
    costs: 'a lease is held for a microsecond longer than the instant from which another may have it',
    tests: ['test/sql/clock.test.ts'],
  },
  {
    name: 'clock-that-went-back-sticks',
    file: 'sql/functions/acquire_lease.sql',
    from: 'IF elect.is_from_future(lease, at) THEN',
    to: 'IF false THEN',
    costs: 'after the clock of the server went back by an hour, a lease of the dead lasts for an hour',
    tests: ['test/sql/clock.test.ts'],
  },
  {
    name: 'promise-of-another-time-is-kept',
    file: 'sql/internal/extended_expiry.sql',
    from: 'WHEN (lease).renewed_at > at THEN',
    to: 'WHEN false THEN',
    costs: 'after the clock went back, each renewal keeps the lease for as long as the clock is behind',
    tests: ['test/sql/clock.test.ts'],
  },
  {
    name: 'remaining-time-unbounded',
    file: 'sql/internal/remaining_time.sql',
    from: 'least((lease).expires_at - at, (lease).expires_at - (lease).renewed_at)',
    to: '(lease).expires_at - at',
    costs: 'after the clock went back, followers are told to wait for hours',
    tests: ['test/sql/clock.test.ts'],
  },
  {
    name: 'beat-shortens-a-promise',
    file: 'sql/internal/extended_expiry.sql',
    from: 'ELSE greatest((lease).expires_at, at + ttl)',
    to: 'ELSE at + ttl',
    costs: 'a renewal with a shorter ttl, whose answer is lost, ends a lease that its holder still trusts',
    tests: ['test/sql/renew.test.ts'],
  },
]
