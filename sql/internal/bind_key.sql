-- Apart from the other keys by its seed.
CREATE OR REPLACE FUNCTION elect.bind_key(name text) RETURNS bigint
LANGUAGE sql STABLE
RETURN pg_catalog.hashtextextended(name COLLATE "C", 'elect.leases'::pg_catalog.regclass::pg_catalog.oid::bigint + 2);
COMMENT ON FUNCTION elect.bind_key(text) IS
  'Internal. The key of the advisory lock by which a leader''s connection shows that it is up.';
