CREATE OR REPLACE FUNCTION elect.try_advisory_lock(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
BEGIN
  PERFORM elect.require_fresh_snapshots();
  IF NOT pg_try_advisory_lock(elect.advisory_key(lease_name)) THEN
    RETURN false;
  END IF;
  -- In this order: a lease is granted under the same advisory lock, so from here on nobody can be granted it.
  IF elect.lease_in_use(lease_name) THEN
    PERFORM pg_advisory_unlock(elect.advisory_key(lease_name));
    RETURN false;
  END IF;
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.try_advisory_lock(text) IS
  'The fast path: a mutex without a row, a write or a fencing token, for short critical sections. Held by this session until advisory_unlock or until the connection ends; as often as it was locked. False if another session has it, or a lease of the same name is held. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 25000 at REPEATABLE READ and SERIALIZABLE.';
