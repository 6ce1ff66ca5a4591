CREATE OR REPLACE FUNCTION elect.require_settled(lease elect.leases, key text, ttl interval, at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  grace_until CONSTANT timestamptz := elect.grace_of(lease, ttl, at, elect.epoch_at(at, true));
BEGIN
  -- An error, where a contender for a lease gets an answer: what a key had would otherwise be told wrongly.
  IF grace_until IS NOT NULL THEN
    RAISE EXCEPTION 'Key % may have a value that a fail-over has lost, until %', key, grace_until
      USING ERRCODE = 'lock_not_available', HINT = 'Try again after that.';
  END IF;
END
$$;
COMMENT ON FUNCTION elect.require_settled(elect.leases, text, interval, timestamptz) IS
  'Internal. Error 55P03 while a compare-and-swap register is in its grace (grace_of).';
