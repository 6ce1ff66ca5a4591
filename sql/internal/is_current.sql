-- Seen in the future: the clock of the server went back, and its grace would last longer by that much. A second, because the
-- two clock readings that are compared may come from two sessions at the same moment.
CREATE OR REPLACE FUNCTION elect.is_current(epoch elect.epochs, at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE
RETURN (epoch).timeline = elect.current_timeline()
  AND (epoch).leases_oid = 'elect.leases'::pg_catalog.regclass
  AND (epoch).first_seen_at <= at + interval '1 second';
COMMENT ON FUNCTION elect.is_current(elect.epochs, timestamptz) IS
  'Internal. Whether an epoch, the last one that is recorded, is that of this server at this moment. Fails on a standby.';
