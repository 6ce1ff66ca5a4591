CREATE OR REPLACE FUNCTION elect.stand_in_line(
  lease text, candidate text, priority integer, is_exclusive boolean, ttl interval, metadata jsonb,
  backend integer, at timestamptz
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  own_arrival bigint;
  ahead integer;
BEGIN
  INSERT INTO elect.candidates AS c
    (lease, candidate, priority, is_exclusive, ttl, metadata, backend, arrived_at, seen_at, expires_at)
  VALUES (stand_in_line.lease, stand_in_line.candidate, stand_in_line.priority, stand_in_line.is_exclusive,
          stand_in_line.ttl, stand_in_line.metadata, stand_in_line.backend, at, at, at + stand_in_line.ttl)
  ON CONFLICT (lease, candidate) DO UPDATE
  SET priority = excluded.priority, is_exclusive = excluded.is_exclusive, ttl = excluded.ttl,
      metadata = excluded.metadata, backend = excluded.backend, seen_at = excluded.seen_at,
      expires_at = excluded.expires_at,
      -- Whoever was away for longer than its place lasts, or wants something else, stands at the end.
      arrival = CASE WHEN elect.is_waiting(c, at) AND c.is_exclusive = excluded.is_exclusive
                     THEN c.arrival ELSE excluded.arrival END
  RETURNING arrival INTO own_arrival;
  -- As rank_in_line, which has to look for the place first.
  SELECT count(*)::integer INTO ahead FROM elect.candidates c
  WHERE c.lease = stand_in_line.lease AND elect.is_waiting(c, at)
    AND (c.priority > stand_in_line.priority OR c.priority = stand_in_line.priority AND c.arrival < own_arrival);
  RETURN ahead;
END
$$;
COMMENT ON FUNCTION elect.stand_in_line(text, text, integer, boolean, interval, jsonb, integer, timestamptz) IS
  'Internal. Gives the candidate a place in line, or refreshes the one it has, and returns its rank. The caller has locked the row that it waits for, and read the clock after that: else a release could miss it.';
