CREATE OR REPLACE FUNCTION elect.lock_vacancy(name text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
  lease elect.leases;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lock_vacancy.name FOR UPDATE;
  RETURN lease;
EXCEPTION
  WHEN lock_not_available THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION elect.lock_vacancy(text) IS
  'Internal. Locks the row of a lease for a change of its token, waiting for a release that is being committed; null if there is none, or a guarded transaction is open for longer.';
