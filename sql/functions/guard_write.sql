CREATE OR REPLACE FUNCTION elect.guard_write() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := TG_ARGV[0];
  claimed CONSTANT jsonb := elect.carried_tokens() -> lease_name;
BEGIN
  -- What is claimed came from a setting that anybody can write: nothing but a number is passed on.
  IF jsonb_typeof(claimed) IS DISTINCT FROM 'number' OR claimed::text !~ '^[0-9]{1,18}$' THEN
    RAISE EXCEPTION 'Table % is protected by lease %, of which this transaction carries no token', TG_RELID::regclass, lease_name
      USING ERRCODE = 'LE001',
            HINT = format('Call elect.assert_lease(%L, token) first, in the same transaction.', lease_name);
  END IF;
  -- A snapshot of the whole transaction may be older than the last renewal, so that the lease looks expired. The row lock has
  -- been granted all the same, without 40001: nobody else was granted the lease since, and nobody will be before the commit.
  PERFORM elect.prove_lease(lease_name, claimed::text::bigint,
    current_setting('transaction_isolation') IN ('repeatable read', 'serializable'));
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION elect.guard_write() IS
  'Trigger of protected tables: refuses a write (LE001) unless the transaction carries the current token of the lease named by its argument. Set up by protect_table.';
