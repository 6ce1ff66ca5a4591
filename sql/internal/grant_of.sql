CREATE OR REPLACE FUNCTION elect.grant_of(name text, contender text) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease elect.leases;
  at CONSTANT timestamptz := clock_timestamp();
BEGIN
  -- One name is one thing: a lease, or something shared.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = grant_of.name;
  IF elect.is_held(lease, at) THEN
    RETURN lease;
  ELSIF lease.name IS NOT NULL THEN
    RETURN NULL;
  END IF;
  SELECT * INTO lease FROM elect.leases l
  WHERE l.part_of = grant_of.name AND elect.is_held(l, at)
  ORDER BY l.holder = contender DESC, elect.expiry_of(l)
  LIMIT 1;
  RETURN lease;
END
$$;
COMMENT ON FUNCTION elect.grant_of(text, text) IS
  'Internal. What the contender holds of this lease or shared lease, else the grant that runs out first; null if nobody holds any.';
