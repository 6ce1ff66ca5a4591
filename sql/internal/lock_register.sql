CREATE OR REPLACE FUNCTION elect.lock_register(key text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
BEGIN
  -- Unlike acquire_lease it waits: the answer to a swap says what the value is, so it has to be sure.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = key FOR UPDATE;
  IF NOT elect.is_held(lease, clock_timestamp()) THEN
    -- Nobody gets a vacant lease without this lock; where there is no row yet, it is the only one there is.
    PERFORM pg_advisory_xact_lock(elect.advisory_key(key));
    SELECT * INTO lease FROM elect.leases l WHERE l.name = key FOR UPDATE;
  END IF;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.lock_register(text) IS
  'Internal. The row of a compare-and-swap register, locked for a change, waiting if need be. Read the clock after it.';
