CREATE OR REPLACE FUNCTION elect.get_settings()
RETURNS TABLE (longest_ttl interval, grace boolean, epoch bigint, first_seen_at timestamptz, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT s.longest_ttl, s.grace, e.epoch, e.first_seen_at, e.reason
  FROM elect.settings s
  CROSS JOIN LATERAL (SELECT * FROM elect.epochs ORDER BY epoch DESC LIMIT 1) AS e;
END
$$;
COMMENT ON FUNCTION elect.get_settings() IS
  'What an operator has chosen (configure), and the last epoch that was seen: since when, and why if an operator said so. first_seen_at -infinity: there was none before it. Writes nothing, and works on a hot standby.';
