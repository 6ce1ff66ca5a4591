CREATE OR REPLACE FUNCTION elect.get_candidates(name text)
RETURNS TABLE (
  rank integer, candidate text, priority integer, is_exclusive boolean, metadata jsonb, arrived_at timestamptz, expires_in interval
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  SELECT (row_number() OVER (ORDER BY c.priority DESC, c.arrival) - 1)::integer, c.candidate, c.priority, c.is_exclusive,
         c.metadata, c.arrived_at, c.expires_at - at
  FROM elect.candidates c
  WHERE c.lease = lease_name AND elect.is_waiting(c, at)
  ORDER BY 1;
END
$$;
COMMENT ON FUNCTION elect.get_candidates(text) IS
  'Who waits for the lease, the next one first. Not on a hot standby: the line is not replicated. Errors: 22023 bad argument.';
