-- A renewal never takes back time that was promised before, since the answer that shortens it may be lost and its
-- holder goes on trusting the longer one. Where the clock has gone back (written in the future) that promise was made in
-- another time: what is kept of it is the time that was given, from now on.
CREATE OR REPLACE FUNCTION elect.extended_expiry(lease elect.leases, at timestamptz, ttl interval) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN CASE
  WHEN ttl IS NULL THEN NULL
  -- Kept by a session until now: that has promised as much.
  WHEN (lease).session IS NOT NULL THEN greatest(at + ttl, at + elect.session_remaining((lease).session, at))
  WHEN (lease).expires_at IS NULL THEN NULL
  WHEN (lease).renewed_at > at THEN at + greatest(ttl, (lease).expires_at - (lease).renewed_at)
  ELSE greatest((lease).expires_at, at + ttl)
END;
COMMENT ON FUNCTION elect.extended_expiry(elect.leases, timestamptz, interval) IS
  'Internal. Until when a held lease is held if it is renewed at that moment; null: for ever.';
