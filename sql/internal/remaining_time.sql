-- At most the time that was given at the last write: more would mean that the clock went back since.
CREATE OR REPLACE FUNCTION elect.remaining_time(lease elect.leases, at timestamptz) RETURNS interval
LANGUAGE sql STABLE
RETURN CASE
  WHEN (lease).session IS NULL THEN least((lease).expires_at - at, (lease).expires_at - (lease).renewed_at)
  ELSE elect.session_remaining((lease).session, at)
END;
COMMENT ON FUNCTION elect.remaining_time(elect.leases, timestamptz) IS
  'Internal. How long a held lease is still held at that moment; null: for ever.';
