-- Apart from advisory_key by its seed: a guard must not be in the way of contenders, only be seen.
CREATE OR REPLACE FUNCTION elect.guard_key(name text) RETURNS bigint
LANGUAGE sql STABLE
RETURN pg_catalog.hashtextextended(name COLLATE "C", 'elect.leases'::pg_catalog.regclass::pg_catalog.oid::bigint + 1);
COMMENT ON FUNCTION elect.guard_key(text) IS
  'Internal. The key of the shared advisory lock by which guarded transactions of a lease show themselves.';
