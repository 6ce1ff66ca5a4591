CREATE OR REPLACE FUNCTION elect.expiry_of(lease elect.leases) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN CASE
  WHEN (lease).session IS NULL THEN coalesce((lease).expires_at, 'infinity')
  ELSE elect.session_expiry((lease).session)
END;
COMMENT ON FUNCTION elect.expiry_of(elect.leases) IS
  'Internal. Until when a lease that has a holder is held: its own expiry (infinity: none), or that of the session that keeps it.';
