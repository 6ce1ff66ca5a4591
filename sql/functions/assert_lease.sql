CREATE OR REPLACE FUNCTION elect.assert_lease(name text, token bigint, longest interval DEFAULT '1 minute') RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
BEGIN
  IF (elect.is_name(name) AND token > 0 AND elect.is_ttl(longest)) IS NOT TRUE THEN
    PERFORM elect.valid_name(name), elect.valid_token(token), elect.valid_ttl(longest, 'longest');
  END IF;
  PERFORM elect.prove_lease(name, token), elect.carry_token(name, token), elect.bound_transaction(elect.in_seconds(longest));
END
$$;
COMMENT ON FUNCTION elect.assert_lease(text, bigint, interval) IS
  'The guard: proves that the lease is held with this token, and keeps it from being granted to anybody else until this transaction ends. The transaction may then write tables that the lease protects. longest, 100 ms to 24 h: after a statement or a pause of that length (from PostgreSQL 17 on: after that time in all) the server ends the transaction. Errors: LE001 not held, 22023 bad argument, 55P03 a change of its holder is under way for over a second; at REPEATABLE READ and SERIALIZABLE also 40001, which means here that the lease was granted to somebody else.';
