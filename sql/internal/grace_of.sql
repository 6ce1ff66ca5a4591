CREATE OR REPLACE FUNCTION elect.grace_of(
  lease elect.leases, ttl interval, at timestamptz, in_epoch elect.epochs, also_past boolean DEFAULT false
) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  setting elect.settings;
  until timestamptz;
BEGIN
  IF elect.is_settled(lease, in_epoch, at) THEN
    RETURN NULL;
  END IF;
  SELECT * INTO setting FROM elect.settings s WHERE s.is_only;
  IF NOT setting.grace THEN
    RETURN NULL;
  END IF;
  until := in_epoch.first_seen_at + greatest(setting.longest_ttl, lease.ttl, grace_of.ttl);
  RETURN CASE WHEN also_past OR until > at THEN until END;
END
$$;
COMMENT ON FUNCTION elect.grace_of(elect.leases, interval, timestamptz, elect.epochs, boolean) IS
  'Internal. Until when a lease of an older epoch, or one that nobody knows of, counts as held by somebody whose grant may have been lost: for the longest of its own ttl, the one that is asked for, and elect.settings.longest_ttl after the epoch in force (epoch_at) was first seen. Null: it does not (any more; also_past: or until when it did, within a day).';
