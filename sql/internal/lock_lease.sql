CREATE OR REPLACE FUNCTION elect.lock_lease(name text, token bigint) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
BEGIN
  -- NO KEY: a guarded transaction (FOR KEY SHARE) must not hold up renewals and releases of its own lease.
  SELECT * INTO lease FROM elect.leases l
  WHERE l.name = lock_lease.name AND l.token = lock_lease.token AND l.holder IS NOT NULL
  FOR NO KEY UPDATE;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.lock_lease(text, bigint) IS
  'Internal. Locks the row of the lease with that token, waiting if need be, and returns it; null if there is none. Read the clock after it, never before.';
