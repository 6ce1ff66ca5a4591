CREATE OR REPLACE FUNCTION elect.require_fresh_snapshots() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'An advisory lock excludes leases only at READ COMMITTED, not at %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'invalid_transaction_state',
            HINT = 'The snapshot of this transaction may be older than a lease of that name: lock before it, or at READ COMMITTED.';
  END IF;
END
$$;
COMMENT ON FUNCTION elect.require_fresh_snapshots() IS
  'Internal. Error 25000 unless each statement of this transaction sees what was committed before it.';
