CREATE OR REPLACE FUNCTION elect.transfer_lease(
  name text, token bigint, successor text DEFAULT NULL, must_wait boolean DEFAULT false
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  next_holder CONSTANT text := elect.valid_text(successor, 'successor', true);
  is_for_line CONSTANT boolean := elect.valid_choice(must_wait, 'must_wait') OR successor IS NULL;
  lease elect.leases;
  granted elect.leases;
  at timestamptz;
BEGIN
  -- FOR UPDATE: waits for the guarded transactions of the old holder, whose commits come before the new token.
  SELECT * INTO lease FROM elect.leases l
  WHERE l.name = lease_name AND l.token = asked_token AND l.holder IS NOT NULL
  FOR UPDATE;
  at := clock_timestamp();
  IF lease.part_of IS NOT NULL THEN
    RAISE EXCEPTION 'Lease % is a share of %, which cannot be transferred', lease_name, lease.part_of
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Release it: the first in line is granted it.';
  END IF;
  IF elect.is_held(lease, at) THEN
    granted := elect.hand_over(lease, at, 'transferred', next_holder);
    IF granted.name IS NULL AND NOT is_for_line AND elect.grace_of(lease, NULL, at, elect.epoch_at(at, true)) IS NULL THEN
      granted := elect.write_grant(lease, lease_name, at, next_holder, lease.ttl, NULL, 'transferred');
    END IF;
    RETURN elect.lease_answer(granted.name IS NOT NULL, CASE WHEN granted.name IS NULL THEN lease ELSE granted END, at);
  END IF;
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  RETURN elect.lease_answer(false, lease, at);
END
$$;
COMMENT ON FUNCTION elect.transfer_lease(text, bigint, text, boolean) IS
  'Hands the lease that was granted with this token to the successor, under a new token. One that waits in line has 2 seconds (or its ttl) to renew it; another gets it with the same ttl, unless must_wait. successor null: the first in line. granted is false if it was not held with this token any more, no such candidate waits, or it is in its grace and was not renewed in it: then the row shows the old holder. Errors: 22023 bad argument, 55P03 a guarded transaction was still open after a second.';
