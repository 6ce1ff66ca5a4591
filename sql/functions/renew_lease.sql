CREATE OR REPLACE FUNCTION elect.renew_lease(name text, token bigint, ttl interval DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  -- After the lock: a renewal that waited for it past its expiry must come back refused.
  at timestamptz := clock_timestamp();
BEGIN
  IF elect.is_held(lease, at) THEN
    lease := elect.write_renewal(lease, at, coalesce(asked_ttl, lease.ttl));
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  RETURN elect.lease_answer(false, lease, at);
END
$$;
COMMENT ON FUNCTION elect.renew_lease(text, bigint, interval) IS
  'Extends the lease that was granted with this token by its ttl (null: as before). granted is false if it has expired, was overtaken or is unknown; the row then tells who holds it now. Waits for another transaction that is at the row. Never shortens what was promised. Errors: 22023 bad argument.';
