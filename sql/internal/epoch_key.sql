-- Apart from advisory_key by its seed, as guard_key.
CREATE OR REPLACE FUNCTION elect.epoch_key() RETURNS bigint
LANGUAGE sql STABLE
RETURN pg_catalog.hashtextextended('epoch', 'elect.leases'::pg_catalog.regclass::pg_catalog.oid::bigint + 3);
COMMENT ON FUNCTION elect.epoch_key() IS
  'Internal. The key of the advisory lock under which a new epoch is recorded.';
