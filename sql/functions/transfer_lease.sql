CREATE OR REPLACE FUNCTION elect.transfer_lease(name text, token bigint, successor text) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  next_holder CONSTANT text := elect.valid_text(successor, 'successor');
  lease elect.leases;
  at timestamptz;
BEGIN
  -- FOR UPDATE: waits for the guarded transactions of the old holder, whose commits come before the new token.
  SELECT * INTO lease FROM elect.leases l
  WHERE l.name = lease_name AND l.token = asked_token AND l.holder IS NOT NULL
  FOR UPDATE;
  at := clock_timestamp();
  IF elect.is_held(lease, at) THEN
    lease := elect.write_grant(lease, lease_name, at, next_holder, lease.ttl, NULL, 'transferred');
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  RETURN elect.lease_answer(false, lease, at);
END
$$;
COMMENT ON FUNCTION elect.transfer_lease(text, bigint, text) IS
  'Hands the lease that was granted with this token to the successor, under a new token and with the same ttl. granted is false if it was not held with it any more. Errors: 22023 bad argument, 55P03 a guarded transaction was still open after a second.';
