CREATE OR REPLACE FUNCTION elect.get_candidacy(name text, holder text) RETURNS elect.share_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  found elect.leases := elect.grant_of(lease_name, contender);
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  RETURN elect.share_answer(coalesce(found.holder = contender, false), found, at, (
    SELECT elect.rank_in_line(c.lease, c.candidate, c.priority, at) FROM elect.candidates c
    WHERE c.lease = lease_name AND c.candidate = contender AND elect.is_waiting(c, at)));
END
$$;
COMMENT ON FUNCTION elect.get_candidacy(text, text) IS
  'How a candidate stands: granted, with the lease (the share, of a shared one) and token that it was handed, or its rank in line (null: not in it) and the holder whose grant runs out first. Writes and locks nothing. Errors: 22023 bad argument.';
