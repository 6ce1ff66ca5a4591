CREATE OR REPLACE FUNCTION elect.renew_lease(name text, token bigint, ttl interval DEFAULT NULL, session uuid DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  -- What keeps it now must not end before it is kept otherwise.
  is_kept CONSTANT boolean := lease.session IS NULL OR lease.session = session OR (elect.lock_session(lease.session)).session IS NOT NULL;
  -- After the locks: a renewal that waited for them past its expiry must come back refused.
  at timestamptz := clock_timestamp();
BEGIN
  IF is_kept AND elect.is_held(lease, at) THEN
    lease := elect.write_renewal(lease, at, coalesce(asked_ttl, lease.ttl), session => session);
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  RETURN elect.lease_answer(false, lease, at);
END
$$;
COMMENT ON FUNCTION elect.renew_lease(text, bigint, interval, uuid) IS
  'Extends the lease that was granted with this token by its ttl (null: as before). granted is false if it has expired, was overtaken or is unknown; the row then tells who holds it now. Waits for another transaction that is at the row. Never shortens what was promised. session: from now on the lease is kept by that (open_session); null: by a ttl of its own. Errors: 22023 bad argument, LE004 the session has ended, 55P03 the session that keeps it was in use for over 100 ms: ask again.';
