CREATE OR REPLACE FUNCTION elect.force_release(name text, reason text, terminate boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  stated_reason CONSTANT text := elect.valid_text(reason, 'reason');
  ended integer[] := ARRAY[]::integer[];
  lease elect.leases;
  at timestamptz;
BEGIN
  IF elect.valid_choice(terminate, 'terminate') THEN
    ended := elect.end_guards(lease_name);
  END IF;
  BEGIN
    -- FOR UPDATE: not behind the back of a guarded transaction that is about to commit as the leader.
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name FOR UPDATE;
  EXCEPTION
    WHEN lock_not_available THEN
      RAISE EXCEPTION 'Lease % is in use by a transaction that is still open', lease_name
        USING ERRCODE = 'lock_not_available',
              DETAIL = coalesce(
                (SELECT string_agg(format('Backend %s of %s, %s since %s.', g.pid, g.usename, coalesce(g.state, 'in it'), coalesce(g.since::text, 'a while')), ' ')
                 FROM elect.get_guards(lease_name) g),
                'It is not a guarded one: see pg_locks.'),
              HINT = 'Try again, or end that backend: force_release(…, terminate => true).';
  END;
  at := clock_timestamp();
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  PERFORM elect.raise_durability();
  PERFORM elect.write_vacancy(lease, at, 'forced', jsonb_build_object(
    'forced_by', session_user, 'reason', stated_reason, 'ended_backends', to_jsonb(ended)));
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.force_release(text, text, boolean) IS
  'For operators: takes the lease away from its holder, whose next renewal is refused, and tells the followers. terminate: first ends the backends that are inside a guarded transaction of the lease, and says which by a NOTICE. The reason and the ended backends are kept in the row until the next grant. False if nobody held it. Errors: 22023 bad argument (a reason has 1 to 500 bytes), 55P03 a guarded transaction is still open after a second: the detail says whose, 42501 the schema''s owner may not end that backend.';
