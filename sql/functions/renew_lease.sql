CREATE OR REPLACE FUNCTION elect.renew_lease(name text, token bigint, ttl interval DEFAULT NULL, session uuid DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  asked_ttl interval;
  lease elect.leases;
  is_kept boolean := true;
  at timestamptz;
  answer elect.lease_grant;
BEGIN
  IF ttl IS NOT NULL THEN
    asked_ttl := elect.valid_ttl(ttl);
  END IF;
  -- As lock_lease, without the price of another function.
  SELECT * INTO lease FROM elect.leases l
  WHERE l.name = renew_lease.name AND l.token = renew_lease.token AND l.holder IS NOT NULL
  FOR NO KEY UPDATE;
  IF lease.session IS NOT NULL THEN
    -- What keeps it now must not end before it is kept otherwise.
    is_kept := lease.session = renew_lease.session OR (elect.lock_session(lease.session)).session IS NOT NULL;
  END IF;
  -- After the locks: a renewal that waited for them past its expiry must come back refused.
  at := clock_timestamp();
  asked_ttl := coalesce(asked_ttl, lease.ttl);
  -- The usual renewal: that of write_renewal, without what is only for the others.
  IF lease.expires_at > at AND lease.renewed_at <= at AND asked_ttl IS NOT NULL AND lease.session IS NULL AND session IS NULL
     AND elect.is_in_force(lease.epoch) THEN
    UPDATE elect.leases AS l
    SET version = l.version + 1, renewed_at = at, expires_at = greatest(l.expires_at, at + asked_ttl), ttl = asked_ttl
    WHERE l.name = renew_lease.name
    RETURNING true, l.holder, l.token, l.version, l.metadata, l.expires_at - l.renewed_at, NULL::integer INTO answer;
    IF NOT elect.is_durable() THEN
      PERFORM elect.raise_durability();
    END IF;
    RETURN answer;
  END IF;
  IF is_kept AND elect.is_held(lease, at) THEN
    lease := elect.write_renewal(lease, at, asked_ttl, session => session);
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  -- None that is held has bad ones: so only now.
  PERFORM elect.valid_name(name), elect.valid_token(token);
  SELECT * INTO lease FROM elect.leases l WHERE l.name = renew_lease.name;
  RETURN elect.lease_answer(false, lease, at);
END
$$;
COMMENT ON FUNCTION elect.renew_lease(text, bigint, interval, uuid) IS
  'Extends the lease that was granted with this token by its ttl (null: as before). granted is false if it has expired, was overtaken or is unknown; the row then tells who holds it now. Waits for another transaction that is at the row. Never shortens what was promised. session: from now on the lease is kept by that (open_session); null: by a ttl of its own. Errors: 22023 bad argument, LE004 the session has ended, 55P03 the session that keeps it was in use for over 100 ms: ask again.';
