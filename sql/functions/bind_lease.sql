CREATE OR REPLACE FUNCTION elect.bind_lease(name text, token bigint, longest interval DEFAULT '900 milliseconds') RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  key CONSTANT bigint := elect.bind_key(lease_name);
  lease elect.leases;
  is_locked boolean := false;
BEGIN
  IF NOT elect.wait_for_lock(key, longest) THEN
    RETURN false;
  END IF;
  is_locked := true;
  lease := elect.lock_lease(lease_name, asked_token);
  IF NOT elect.is_held(lease, clock_timestamp()) THEN
    PERFORM pg_advisory_unlock(key);
    RETURN false;
  END IF;
  UPDATE elect.leases AS l SET version = l.version + 1, is_bound = true WHERE l.name = lease_name;
  RETURN true;
EXCEPTION
  -- The lock outlives the transaction; what it was taken for does not.
  WHEN query_canceled OR OTHERS THEN
    IF is_locked THEN
      PERFORM pg_advisory_unlock(key);
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION elect.bind_lease(text, bigint, interval) IS
  'Binds a lease to this session: from then on, when the session ends, take_over grants it to the next one without waiting for its expiry. Only for work that is all guarded: a holder that is merely cut off from the database goes on unaware. False if it is not held with that token, or the session of the last holder is still up after longest (1 ms to 1 s): then it is a lease as any other. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 55P03 another transaction was at the row for over a second.';
