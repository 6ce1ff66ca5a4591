CREATE OR REPLACE FUNCTION elect.cut_to_clock(name text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  lease elect.leases;
  kept_by elect.sessions;
  at timestamptz;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = cut_to_clock.name FOR NO KEY UPDATE SKIP LOCKED;
  IF lease.session IS NOT NULL THEN
    SELECT * INTO kept_by FROM elect.sessions s
    WHERE s.session = lease.session AND s.renewed_at > clock_timestamp()
    FOR NO KEY UPDATE SKIP LOCKED;
  END IF;
  at := clock_timestamp();
  IF kept_by.renewed_at > at AND kept_by.expires_at > at AND elect.raise_durability() THEN
    UPDATE elect.sessions AS s
    SET renewed_at = at, expires_at = at + (s.expires_at - s.renewed_at)
    WHERE s.session = kept_by.session;
  END IF;
  IF elect.is_held(lease, at) AND lease.renewed_at > at AND elect.raise_durability() THEN
    UPDATE elect.leases AS l
    SET version = l.version + 1, renewed_at = at, expires_at = at + (lease.expires_at - lease.renewed_at)
    WHERE l.name = lease.name
    RETURNING * INTO lease;
  END IF;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.cut_to_clock(text) IS
  'Internal. A lease that was written in the future (the clock of the server has gone back), or whose session was, is cut to the time it was given, from now on, so that nothing sticks. Null if another transaction is at the row.';
