CREATE OR REPLACE FUNCTION elect.assert_lease(name text, token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  lease elect.leases;
BEGIN
  -- KEY SHARE until the end of the transaction: renewals pass it, a change of token waits for it. So the commits
  -- of guarded transactions are ordered by token, whatever the clocks say.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name FOR KEY SHARE;
  IF lease.token = asked_token AND elect.is_held(lease, clock_timestamp()) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'Lease % is not held with token %', lease_name, asked_token
    USING ERRCODE = 'LE001',
          DETAIL = CASE
            WHEN lease.token > asked_token THEN format('It was granted again since, with token %s.', lease.token)
            WHEN lease.token = asked_token AND lease.holder IS NULL THEN 'It was released.'
            WHEN lease.token = asked_token THEN 'It has expired.'
            ELSE 'No such grant is known.'
          END,
          HINT = 'Somebody else may lead: abandon this work and acquire the lease anew.';
END
$$;
COMMENT ON FUNCTION elect.assert_lease(text, bigint) IS
  'The guard: proves that the lease is held with this token, and keeps it from being granted to anybody else until this transaction ends. At REPEATABLE READ and SERIALIZABLE its answer is as old as the snapshot: a lease that was released or ran out since still passes, but none that was granted anew, which is 40001. Errors: LE001 not held, 22023 bad argument.';
