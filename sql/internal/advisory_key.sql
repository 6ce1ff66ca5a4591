-- 64 bits: the 32 bits of hashtext() collide among some ten thousand names. Seeded with the table's oid, so that
-- the key does not meet those of other users of advisory locks in the same database.
CREATE OR REPLACE FUNCTION elect.advisory_key(name text) RETURNS bigint
LANGUAGE sql STABLE
RETURN pg_catalog.hashtextextended(name COLLATE "C", 'elect.leases'::pg_catalog.regclass::pg_catalog.oid::bigint);
COMMENT ON FUNCTION elect.advisory_key(text) IS
  'Internal. The key of the advisory lock that goes with a lease name. Differs from database to database.';
