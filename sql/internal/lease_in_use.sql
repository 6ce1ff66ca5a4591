CREATE OR REPLACE FUNCTION elect.lease_in_use(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
  at timestamptz;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_in_use.name;
  IF lease.name IS NULL OR elect.is_held(lease, clock_timestamp()) THEN
    RETURN lease.name IS NOT NULL;
  END IF;
  -- It looks vacant, but a renewal that has not been committed yet cannot be seen. Its row lock can.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_in_use.name FOR NO KEY UPDATE SKIP LOCKED;
  at := clock_timestamp();
  IF lease.session IS NOT NULL AND NOT elect.is_held(lease, at) THEN
    lease := elect.end_session_of(lease, at);
  END IF;
  RETURN lease.name IS NULL OR lease.session IS NOT NULL OR elect.is_held(lease, at) OR elect.grace_of(lease, NULL, at, elect.epoch_at(at, true)) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION elect.lease_in_use(text) IS
  'Internal. Whether a lease of that name is held, or in its grace, or another transaction is at it. The caller has the advisory lock of the name, so that it cannot be granted meanwhile.';
