CREATE OR REPLACE FUNCTION elect.get_shares(name text)
RETURNS TABLE (
  lease text, holder text, token bigint, version bigint, metadata jsonb, is_exclusive boolean, acquired_at timestamptz, expires_in interval
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  shared_name CONSTANT text := elect.valid_shared_name(name);
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  SELECT l.name, l.holder, l.token, l.version, l.metadata, l.token IS NOT DISTINCT FROM s.exclusive_token, l.acquired_at,
         elect.remaining_time(l, at)
  FROM elect.leases l JOIN elect.shared_leases s ON s.name = l.part_of
  WHERE l.part_of = shared_name AND elect.is_held(l, at)
  ORDER BY l.token;
END
$$;
COMMENT ON FUNCTION elect.get_shares(text) IS
  'The shares that are held now, the oldest first: the members of a group, the holders of permits, the readers or the writer. Writes and locks nothing, and works on a hot standby. Errors: 22023 bad argument.';
