CREATE OR REPLACE FUNCTION elect.grant_of(name text, contender text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  SELECT * INTO lease FROM elect.leases l
  WHERE (l.name = grant_of.name OR l.part_of = grant_of.name) AND elect.is_held(l, at)
  ORDER BY l.holder = contender DESC, l.expires_at
  LIMIT 1;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.grant_of(text, text) IS
  'Internal. What the contender holds of this lease or shared lease, else the grant that runs out first; null if nobody holds any.';
