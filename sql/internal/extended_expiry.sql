-- A renewal never takes back time that was promised before, since the answer that shortens it may be lost and its
-- holder goes on trusting the longer one. Only where the clock has gone back (written in the future) is the old
-- promise void: it was made in another time.
CREATE OR REPLACE FUNCTION elect.extended_expiry(lease elect.leases, at timestamptz, ttl interval) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN CASE
  WHEN ttl IS NULL OR (lease).expires_at IS NULL THEN NULL
  WHEN (lease).renewed_at > at THEN at + ttl
  ELSE greatest((lease).expires_at, at + ttl)
END;
COMMENT ON FUNCTION elect.extended_expiry(elect.leases, timestamptz, interval) IS
  'Internal. Until when a held lease is held if it is renewed at that moment; null: for ever.';
