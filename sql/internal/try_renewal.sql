CREATE OR REPLACE FUNCTION elect.try_renewal(name text, token bigint, ttl interval, session uuid DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
BEGIN
  RETURN elect.renew_lease(name, token, ttl, session);
EXCEPTION
  WHEN lock_not_available OR deadlock_detected THEN
    RETURN elect.lease_answer(NULL, NULL, clock_timestamp());
END
$$;
COMMENT ON FUNCTION elect.try_renewal(text, bigint, interval, uuid) IS
  'Internal. As renew_lease, but does not wait for more than a moment: granted is then null.';
