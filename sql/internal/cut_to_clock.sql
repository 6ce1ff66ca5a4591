CREATE OR REPLACE FUNCTION elect.cut_to_clock(name text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
  at timestamptz;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = cut_to_clock.name FOR NO KEY UPDATE SKIP LOCKED;
  at := clock_timestamp();
  IF elect.is_held(lease, at) AND lease.renewed_at > at THEN
    PERFORM elect.raise_durability();
    UPDATE elect.leases AS l
    SET version = l.version + 1, renewed_at = at, expires_at = at + (lease.expires_at - lease.renewed_at)
    WHERE l.name = lease.name
    RETURNING * INTO lease;
  END IF;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.cut_to_clock(text) IS
  'Internal. A lease that was written in the future (the clock of the server has gone back) is cut to the time it was given, from now on, so that nothing sticks. Null if another transaction is at the row.';
