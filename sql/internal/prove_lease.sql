CREATE OR REPLACE FUNCTION elect.prove_lease(name text, token bigint, expired_is_proof boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease elect.leases;
BEGIN
  -- A row lock shows nobody who has it. Nobody ever takes this one exclusively: it says who is in the way of a takeover.
  PERFORM pg_advisory_xact_lock_shared(elect.guard_key(name));
  -- KEY SHARE until the end of the transaction: renewals pass it, a change of token waits for it. So the commits
  -- of guarded transactions are ordered by token, whatever the clocks say.
  SELECT l.holder, l.token, l.expires_at, l.session INTO lease.holder, lease.token, lease.expires_at, lease.session
  FROM elect.leases l
  WHERE l.name = prove_lease.name
  FOR KEY SHARE;
  IF lease.token = prove_lease.token AND lease.holder IS NOT NULL
     AND (expired_is_proof OR elect.is_held(lease, clock_timestamp())) THEN
    RETURN;
  END IF;
  RAISE EXCEPTION 'Lease % is not held with token %', prove_lease.name, prove_lease.token
    USING ERRCODE = 'LE001',
          DETAIL = CASE
            WHEN lease.token > prove_lease.token THEN format('It was granted again since, with token %s.', lease.token)
            WHEN lease.token = prove_lease.token AND lease.holder IS NULL THEN 'It was released.'
            WHEN lease.token = prove_lease.token THEN 'It has expired.'
            ELSE 'No such grant is known.'
          END,
          HINT = 'Somebody else may lead: abandon this work and acquire the lease anew.';
END
$$;
COMMENT ON FUNCTION elect.prove_lease(text, bigint, boolean) IS
  'Internal. Proves that the lease is held with this token and keeps it from being granted anew until this transaction ends, or raises LE001; 55P03 if a change of its holder is under way for over a second. expired_is_proof: that nobody else was granted it is enough.';
