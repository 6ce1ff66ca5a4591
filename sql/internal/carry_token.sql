CREATE OR REPLACE FUNCTION elect.carry_token(name text, token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Local to the transaction, and undone with the row lock where it rolls back to a savepoint. Anybody can set it:
  -- it claims, and what it claims is proved at each write.
  IF current_setting('elect.tokens', true) <> '' THEN
    PERFORM set_config('elect.tokens', (elect.carried_tokens() || jsonb_build_object(name, token))::text, true);
  ELSE
    PERFORM set_config('elect.tokens', jsonb_build_object(name, token)::text, true);
  END IF;
END
$$;
COMMENT ON FUNCTION elect.carry_token(text, bigint) IS
  'Internal. Has this transaction carry the token of a lease, for protected tables to see.';
