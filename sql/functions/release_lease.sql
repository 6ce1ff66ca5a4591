CREATE OR REPLACE FUNCTION elect.release_lease(name text, token bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  lease elect.leases := elect.lock_lease(lease_name, asked_token);
  at timestamptz := clock_timestamp();
BEGIN
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  -- No raise_durability: a release that a crash undoes costs the others one ttl, not their safety.
  PERFORM elect.write_vacancy(lease, at, 'released');
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.release_lease(text, bigint) IS
  'Vacates the lease that was granted with this token, at once, and tells the followers. False if it was not held with it any more. A guarded transaction of the holder that is still open keeps the next one out until it ends. Errors: 22023 bad argument, 55P03 another transaction was at the row for over a second.';
