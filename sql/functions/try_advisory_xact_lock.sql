CREATE OR REPLACE FUNCTION elect.try_advisory_xact_lock(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
BEGIN
  PERFORM elect.require_fresh_snapshots();
  -- A standby has locks of its own, which exclude nobody on the primary.
  PERFORM elect.current_identity();
  -- A lock of the transaction level cannot be given back, except by rolling back to before it.
  BEGIN
    IF NOT pg_try_advisory_xact_lock(elect.advisory_key(lease_name)) THEN
      RETURN false;
    END IF;
    IF elect.lease_in_use(lease_name) THEN
      RAISE EXCEPTION USING ERRCODE = 'LE000';
    END IF;
    RETURN true;
  EXCEPTION
    WHEN SQLSTATE 'LE000' THEN RETURN false;
  END;
END
$$;
COMMENT ON FUNCTION elect.try_advisory_xact_lock(text) IS
  'As try_advisory_lock, but held until this transaction ends. Works behind a pooler in transaction mode. Errors: 22023 bad argument, 25000 at REPEATABLE READ and SERIALIZABLE, 25006 on a standby.';
