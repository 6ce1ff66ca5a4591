CREATE OR REPLACE FUNCTION elect.share_grace(
  shared elect.shared_leases, ttl interval, at timestamptz
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  share elect.leases;
BEGIN
  -- Knowing of some shares says nothing of others: none of them settles it.
  SELECT max(l.ttl) INTO share.ttl FROM elect.leases l WHERE l.part_of = shared.name;
  RETURN elect.grace_of(share, share_grace.ttl, at, elect.epoch_at(at, true));
END
$$;
COMMENT ON FUNCTION elect.share_grace(elect.shared_leases, interval, timestamptz) IS
  'Internal. Until when no share is granted, because shares of an older epoch may have been lost that are still held (see grace_of); null: one may be.';
