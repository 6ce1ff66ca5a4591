CREATE OR REPLACE FUNCTION elect.get_shared(name text)
RETURNS TABLE (capacity integer, held integer, opened_token bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  shared_name CONSTANT text := elect.valid_shared_name(name);
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
  SELECT s.capacity, (SELECT count(*)::integer FROM elect.leases l WHERE l.part_of = s.name AND elect.is_held(l, at)),
         s.opened_token
  FROM elect.shared_leases s WHERE s.name = shared_name;
END
$$;
COMMENT ON FUNCTION elect.get_shared(text) IS
  'A shared lease: its capacity (null: any number), how many shares are held, and up to which token a barrier has opened. No row if it was never used, or pruned. Writes and locks nothing, and works on a hot standby. Errors: 22023 bad argument.';
