CREATE OR REPLACE FUNCTION elect.try_renewal(name text, token bigint, ttl interval, session uuid DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  lease elect.leases;
BEGIN
  PERFORM FROM elect.leases l
  WHERE l.name = lease_name AND l.token = asked_token AND l.holder IS NOT NULL
  FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
    -- Somebody may be at it. Of a session: that may have been renewed since this statement began.
    RETURN elect.lease_answer(
      CASE WHEN lease.token = asked_token AND (lease.session IS NOT NULL OR elect.is_held(lease, clock_timestamp())) THEN NULL ELSE false END,
      lease, clock_timestamp());
  END IF;
  RETURN elect.renew_lease(lease_name, asked_token, ttl, session);
EXCEPTION
  WHEN lock_not_available OR deadlock_detected THEN
    RETURN elect.lease_answer(NULL, NULL, clock_timestamp());
END
$$;
COMMENT ON FUNCTION elect.try_renewal(text, bigint, interval, uuid) IS
  'Internal. As renew_lease, but does not wait for another transaction that is at the row: granted is then null. Errors: 22023 bad argument.';
