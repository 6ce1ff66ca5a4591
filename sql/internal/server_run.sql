-- A start of the server by the microsecond. Its identity cannot change without one, but for a promotion, which changes the timeline,
-- and a restore, which makes another table.
CREATE OR REPLACE FUNCTION elect.server_run() RETURNS bigint
LANGUAGE sql VOLATILE
RETURN hash_record_extended(
  ROW(pg_postmaster_start_time(), left(pg_walfile_name(pg_current_wal_lsn()), 8), 'elect.leases'::regclass::oid), 0);
COMMENT ON FUNCTION elect.server_run() IS
  'Internal. A digest of what can be known at little cost of the server and its data; another one means that current_identity has to be looked at again. Fails on a standby.';
