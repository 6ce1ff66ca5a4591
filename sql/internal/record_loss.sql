CREATE OR REPLACE FUNCTION elect.record_loss(lease elect.leases, own_session uuid DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF lease.session IS NOT NULL AND lease.session IS DISTINCT FROM own_session
     AND EXISTS (SELECT FROM elect.sessions s WHERE s.session = lease.session) THEN
    INSERT INTO elect.session_losses (session, name, token) VALUES (lease.session, lease.name, lease.token)
    ON CONFLICT DO NOTHING;
  END IF;
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.record_loss(elect.leases, uuid) IS
  'Internal. Has the next renewal of its session tell that a lease is no longer kept by it. own_session: proves that its own process gives it up, which need not be told. The caller has the lock of the lease. Always true.';
