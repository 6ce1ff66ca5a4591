-- The first eight digits of the WAL file name are the timeline, at once after a promotion and readable by every
-- role; pg_control_checkpoint() tells it only after the next checkpoint.
CREATE OR REPLACE FUNCTION elect.current_timeline() RETURNS bigint
LANGUAGE sql VOLATILE
RETURN ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::bigint;
COMMENT ON FUNCTION elect.current_timeline() IS 'Internal. Timeline of this server. Fails on a standby.';
