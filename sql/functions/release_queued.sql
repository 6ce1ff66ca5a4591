CREATE OR REPLACE FUNCTION elect.release_queued(name text, token bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  released CONSTANT boolean := elect.release_lease(name, token);
BEGIN
  -- Before the commit, so that the next one is woken meanwhile: it waits for the row.
  PERFORM pg_advisory_unlock(elect.advisory_key(name));
  RETURN released;
END
$$;
COMMENT ON FUNCTION elect.release_queued(text, bigint) IS
  'Gives back a lease that acquire_queued granted in this session, and lets the next one in. False if it was not held any more. Errors: as release_lease.';
