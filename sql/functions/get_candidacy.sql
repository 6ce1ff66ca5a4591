CREATE OR REPLACE FUNCTION elect.get_candidacy(name text, holder text) RETURNS elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  standing elect.leases;
  at timestamptz;
  is_proof boolean;
  place elect.candidates;
  rank integer;
BEGIN
  IF (elect.is_name(name) AND elect.is_text(holder)) IS NOT TRUE THEN
    PERFORM elect.valid_name(name), elect.valid_text(holder, 'holder');
  END IF;
  -- What most look for first: whether they have been handed the lease.
  SELECT * INTO standing FROM elect.leases l WHERE l.name = get_candidacy.name;
  IF standing.name IS NULL THEN
    standing := elect.grant_of(name, holder);
  END IF;
  at := clock_timestamp();
  IF standing.holder = get_candidacy.holder THEN
    -- Another has handed it over, and may not have waited for the synchronous standby. Only a write that waits for that proves that it is
    -- there, too: whoever looks has to ask.
    is_proof := current_setting('synchronous_standby_names') = '';
    -- As share_answer, of one that has an expiry of its own, from the past: as is usual.
    IF standing.session IS NULL AND standing.expires_at > at AND standing.renewed_at <= at THEN
      RETURN ROW(standing.name, is_proof, standing.holder, standing.token, standing.version, standing.metadata, standing.expires_at - at,
        NULL)::elect.share_grant;
    END IF;
    IF elect.is_held(standing, at) THEN
      RETURN elect.share_answer(is_proof, standing, at);
    END IF;
  END IF;
  SELECT * INTO place FROM elect.candidates c
  WHERE c.lease = get_candidacy.name AND c.candidate = get_candidacy.holder AND elect.is_waiting(c, at);
  IF place.candidate IS NOT NULL THEN
    rank := elect.rank_in_line(name, holder, place.priority, at);
  END IF;
  RETURN elect.share_answer(false, standing, at, rank);
END
$$;
COMMENT ON FUNCTION elect.get_candidacy(text, text) IS
  'How a candidate stands: granted, with the lease (the share, of a shared one) and token that it was handed, or its rank in line (null: not in it) and the holder whose grant runs out first. Where synchronous standbys are configured, granted is never true: acquire_lease says so, once they have it. Writes and locks nothing. Errors: 22023 bad argument.';
