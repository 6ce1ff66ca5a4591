CREATE OR REPLACE FUNCTION elect.bound_transaction(longest interval) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  setting text;
  in_force interval;
BEGIN
  -- A guarded transaction keeps the next leader out: one whose client hangs, or that waits for ever, has to end by itself.
  -- transaction_timeout, the exact bound, is there from PostgreSQL 17 on.
  FOREACH setting IN ARRAY ARRAY['idle_in_transaction_session_timeout', 'statement_timeout', 'transaction_timeout'] LOOP
    in_force := current_setting(setting, true)::interval;
    IF in_force = '0' OR in_force > longest THEN
      PERFORM set_config(setting, ceil(extract(epoch FROM longest) * 1000)::bigint::text, true);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.bound_transaction(interval) IS
  'Internal. Lets this transaction last no longer than that: each of its statements and pauses, and all of it from PostgreSQL 17 on. A tighter bound that is in force stays.';
