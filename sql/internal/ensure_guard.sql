CREATE OR REPLACE FUNCTION elect.ensure_guard(name text, token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
BEGIN
  IF elect.carried_tokens() ? lease_name THEN
    -- The bound that the caller chose for its transaction stays.
    PERFORM elect.prove_lease(lease_name, asked_token, current_setting('transaction_isolation') IN ('repeatable read', 'serializable'));
  ELSE
    PERFORM elect.assert_lease(lease_name, asked_token);
  END IF;
END
$$;
COMMENT ON FUNCTION elect.ensure_guard(text, bigint) IS
  'Internal. Guards this transaction by the lease unless it is guarded already, and proves the token in either case. Errors: as assert_lease.';
