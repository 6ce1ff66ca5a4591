CREATE OR REPLACE FUNCTION elect.has_session_lock(key bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM pg_locks p
    WHERE p.locktype = 'advisory' AND p.pid = pg_backend_pid() AND p.granted AND p.objsubid = 1
      AND p.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
      AND (p.classid::bigint << 32 | p.objid::bigint) = key);
END
$$;
COMMENT ON FUNCTION elect.has_session_lock(bigint) IS
  'Internal. Whether this session has the advisory lock already, which would let it in a second time.';
