CREATE OR REPLACE FUNCTION elect.try_advisory_lock(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  is_locked boolean := false;
BEGIN
  PERFORM elect.require_fresh_snapshots();
  -- A standby has locks of its own, which exclude nobody on the primary.
  PERFORM elect.current_identity();
  IF NOT pg_try_advisory_lock(elect.advisory_key(lease_name)) THEN
    RETURN false;
  END IF;
  is_locked := true;
  -- In this order: a lease is granted under the same advisory lock, so from here on nobody can be granted it.
  IF elect.lease_in_use(lease_name) THEN
    PERFORM pg_advisory_unlock(elect.advisory_key(lease_name));
    RETURN false;
  END IF;
  RETURN true;
EXCEPTION
  -- The lock would outlive the refusal, as in a transaction that is read-only. One that the session had before stays.
  WHEN query_canceled OR OTHERS THEN
    IF is_locked THEN
      PERFORM pg_advisory_unlock(elect.advisory_key(lease_name));
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION elect.try_advisory_lock(text) IS
  'The fast path: a mutex without a row, a write or a fencing token, for short critical sections. Held by this session until advisory_unlock or until the connection ends; as often as it was locked. False if another session has it, or a lease of the same name is held. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 25000 at REPEATABLE READ and SERIALIZABLE, 25006 on a standby.';
