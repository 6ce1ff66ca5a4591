CREATE OR REPLACE FUNCTION elect.get_candidacy(name text, holder text) RETURNS elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  standing elect.leases;
  at timestamptz;
  place elect.candidates;
  rank integer;
BEGIN
  -- What most look for first: whether they have been handed the lease.
  SELECT * INTO standing FROM elect.leases l WHERE l.name = lease_name;
  IF standing.name IS NULL THEN
    standing := elect.grant_of(lease_name, contender);
  END IF;
  at := clock_timestamp();
  IF standing.holder = contender AND elect.is_held(standing, at) THEN
    -- Another has handed it over, and may not have waited for the synchronous standby. Only a write that waits for that proves that it is
    -- there, too: whoever looks has to ask.
    RETURN elect.share_answer(current_setting('synchronous_standby_names') = '', standing, at);
  END IF;
  SELECT * INTO place FROM elect.candidates c
  WHERE c.lease = lease_name AND c.candidate = contender AND elect.is_waiting(c, at);
  IF place.candidate IS NOT NULL THEN
    rank := elect.rank_in_line(lease_name, contender, place.priority, at);
  END IF;
  RETURN elect.share_answer(false, standing, at, rank);
END
$$;
COMMENT ON FUNCTION elect.get_candidacy(text, text) IS
  'How a candidate stands: granted, with the lease (the share, of a shared one) and token that it was handed, or its rank in line (null: not in it) and the holder whose grant runs out first. Where synchronous standbys are configured, granted is never true: acquire_lease says so, once they have it. Writes and locks nothing. Errors: 22023 bad argument.';
