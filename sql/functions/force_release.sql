CREATE OR REPLACE FUNCTION elect.force_release(name text, reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  stated_reason CONSTANT text := elect.valid_text(reason, 'reason');
  lease elect.leases;
  at timestamptz;
BEGIN
  -- FOR UPDATE: not behind the back of a guarded transaction that is about to commit as the leader.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name FOR UPDATE;
  at := clock_timestamp();
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  PERFORM elect.raise_durability();
  PERFORM elect.write_vacancy(lease, at, 'forced', jsonb_build_object('forced_by', session_user, 'reason', stated_reason));
  RETURN true;
EXCEPTION
  WHEN lock_not_available THEN
    RAISE EXCEPTION 'Lease % is in use by a transaction that is still open', lease_name
      USING ERRCODE = 'lock_not_available', HINT = 'Try again, or end that transaction first.';
END
$$;
COMMENT ON FUNCTION elect.force_release(text, text) IS
  'For operators: takes the lease away from its holder, whose next renewal is refused, and tells the followers. The reason is kept in the row until the next grant. False if nobody held it. Errors: 22023 bad argument (a reason has 1 to 500 bytes), 55P03 a guarded transaction was still open after a second.';
