CREATE OR REPLACE FUNCTION elect.first_in_line(lease text, at timestamptz) RETURNS elect.candidates
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  first elect.candidates;
BEGIN
  LOOP
    SELECT * INTO first FROM elect.candidates c
    WHERE c.lease = first_in_line.lease
    ORDER BY c.priority DESC, c.arrival
    LIMIT 1
    -- Waits for one that is leaving, so that it is not handed what it does not want any more.
    FOR UPDATE;
    EXIT WHEN first.candidate IS NULL OR elect.is_waiting(first, at);
    PERFORM elect.end_wait(first.lease, first.candidate);
  END LOOP;
  RETURN first;
END
$$;
COMMENT ON FUNCTION elect.first_in_line(text, timestamptz) IS
  'Internal. The first who is still waiting, locked; null if nobody is. Places before it that have run out are removed.';
