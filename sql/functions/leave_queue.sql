CREATE OR REPLACE FUNCTION elect.leave_queue(name text, holder text) RETURNS elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  lease elect.leases;
BEGIN
  IF EXISTS (SELECT FROM elect.shared_leases s WHERE s.name = lease_name) THEN
    PERFORM elect.lock_shared(lease_name);
    PERFORM elect.end_wait(lease_name, contender);
    -- It may have kept others out for whom there is room, as a writer does with the readers behind it.
    PERFORM elect.sweep_shares(lease_name, clock_timestamp());
    PERFORM elect.admit(lease_name, clock_timestamp());
  ELSE
    -- Waits for a hand-off that is under way; the next look then shows it.
    PERFORM elect.end_wait(lease_name, contender);
  END IF;
  lease := elect.grant_of(lease_name, contender);
  RETURN elect.share_answer(coalesce(lease.holder = contender, false), lease, clock_timestamp());
END
$$;
COMMENT ON FUNCTION elect.leave_queue(text, text) IS
  'Gives up a place in line. granted is true if the holder has been granted the lease all the same: then lease and token are there to release it with, or to go on. Errors: 22023 bad argument, 55P03 a hand-off was under way for over a second.';
