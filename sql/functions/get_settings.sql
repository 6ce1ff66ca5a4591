CREATE OR REPLACE FUNCTION elect.get_settings()
RETURNS TABLE (longest_ttl interval, grace boolean, epoch bigint, first_seen_at timestamptz, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.longest_ttl, s.grace, n.last_value,
         CASE WHEN seen.last_value = 1 THEN '-infinity' ELSE to_timestamp(seen.last_value / 1000000.0) END,
         (SELECT e.reason FROM elect.epochs e WHERE e.epoch = n.last_value)
  FROM elect.settings s CROSS JOIN elect.epoch_number n CROSS JOIN elect.epoch_seen seen;
END
$$;
COMMENT ON FUNCTION elect.get_settings() IS
  'What an operator has chosen (configure), and the last epoch that was seen: since when, and why if an operator said so. first_seen_at -infinity: there was none before it. Writes nothing, and works on a hot standby.';
