CREATE OR REPLACE FUNCTION elect.rank_in_line(lease text, candidate text, priority integer, at timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  ahead integer;
BEGIN
  SELECT count(*)::integer INTO ahead FROM elect.candidates c
  WHERE c.lease = rank_in_line.lease AND c.candidate <> rank_in_line.candidate AND elect.is_waiting(c, at)
    AND (c.priority > rank_in_line.priority
         OR (c.priority = rank_in_line.priority AND NOT EXISTS (
           SELECT FROM elect.candidates own
           WHERE own.lease = rank_in_line.lease AND own.candidate = rank_in_line.candidate
             AND elect.is_waiting(own, at) AND own.arrival <= c.arrival)));
  RETURN ahead;
END
$$;
COMMENT ON FUNCTION elect.rank_in_line(text, text, integer, timestamptz) IS
  'Internal. How many of those who wait go before this contender; one that is not in line would come last of its priority.';
