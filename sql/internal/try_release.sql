CREATE OR REPLACE FUNCTION elect.try_release(name text, token bigint, session uuid DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
  lease elect.leases;
BEGIN
  -- NO KEY: a guarded transaction of the holder is not waited for.
  PERFORM FROM elect.leases l
  WHERE l.name = try_release.name AND l.token = try_release.token AND l.holder IS NOT NULL
  FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND THEN
    RETURN elect.release_lease(name, token, session);
  END IF;
  SELECT * INTO lease FROM elect.leases l WHERE l.name = try_release.name AND l.token = try_release.token;
  RETURN CASE WHEN NOT elect.is_held(lease, clock_timestamp()) THEN false END;
EXCEPTION
  WHEN lock_not_available OR deadlock_detected THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION elect.try_release(text, bigint, uuid) IS
  'Internal. As release_lease, but null where another transaction is at the row.';
