CREATE OR REPLACE FUNCTION elect.wait_for_lock(key bigint, longest interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before CONSTANT text := current_setting('lock_timeout');
  longest_ms CONSTANT integer := elect.valid_longest(longest);
BEGIN
  IF pg_try_advisory_lock(key) THEN
    RETURN true;
  END IF;
  PERFORM set_config('lock_timeout', longest_ms::text, true);
  BEGIN
    -- Not at once for the session: a lock that is granted in the moment in which the time runs out is kept by the session
    -- in spite of the error. That of a transaction is undone with it.
    PERFORM pg_advisory_xact_lock(key);
  EXCEPTION
    WHEN lock_not_available THEN
      PERFORM set_config('lock_timeout', before, true);
      RETURN false;
  END;
  PERFORM set_config('lock_timeout', before, true);
  PERFORM pg_advisory_lock(key);
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.wait_for_lock(bigint, interval) IS
  'Internal. Takes an advisory lock for this session, waiting in the server''s own fair queue for up to that long. False: not in time. Errors: 22023 longest is not 1 ms to 1 s.';
