CREATE OR REPLACE FUNCTION elect.lock_row(name text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease elect.leases;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lock_row.name FOR NO KEY UPDATE;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.lock_row(text) IS
  'Internal. Locks the row of a lease, whoever holds it, for standing in its line: whoever releases it waits for that, and sees the place. Guarded transactions go on. Null if there is no row. Errors: 55P03 another transaction was at the row for over a second.';
