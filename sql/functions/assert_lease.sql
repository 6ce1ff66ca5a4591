CREATE OR REPLACE FUNCTION elect.assert_lease(name text, token bigint, longest interval DEFAULT '1 minute') RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  bound CONSTANT interval := elect.valid_ttl(longest, 'longest');
BEGIN
  PERFORM elect.prove_lease(lease_name, asked_token);
  PERFORM elect.carry_token(lease_name, asked_token);
  PERFORM elect.bound_transaction(bound);
END
$$;
COMMENT ON FUNCTION elect.assert_lease(text, bigint, interval) IS
  'The guard: proves that the lease is held with this token, and keeps it from being granted to anybody else until this transaction ends. The transaction may then write tables that the lease protects. longest, 100 ms to 24 h: after a statement or a pause of that length (from PostgreSQL 17 on: after that time in all) the server ends the transaction. Errors: LE001 not held, 22023 bad argument, 55P03 a change of its holder is under way for over a second; at REPEATABLE READ and SERIALIZABLE also 40001, which means here that the lease was granted to somebody else.';
