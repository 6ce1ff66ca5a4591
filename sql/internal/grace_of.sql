CREATE OR REPLACE FUNCTION elect.grace_of(
  lease elect.leases, ttl interval, at timestamptz, may_record boolean DEFAULT true, also_past boolean DEFAULT false
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  epoch CONSTANT elect.epochs := elect.epoch_at(at, may_record);
  setting elect.settings;
  until timestamptz;
BEGIN
  -- No ttl is longer than a day. And what was granted or renewed in this epoch is known here.
  IF epoch.first_seen_at + interval '24 hours' <= at OR epoch.epoch = lease.epoch THEN
    RETURN NULL;
  END IF;
  SELECT * INTO setting FROM elect.settings;
  IF NOT setting.grace THEN
    RETURN NULL;
  END IF;
  until := epoch.first_seen_at + greatest(setting.longest_ttl, lease.ttl, grace_of.ttl);
  RETURN CASE WHEN also_past OR until > at THEN until END;
END
$$;
COMMENT ON FUNCTION elect.grace_of(elect.leases, interval, timestamptz, boolean, boolean) IS
  'Internal. Until when a lease of an older epoch, or one that nobody knows of, counts as held by somebody whose grant may have been lost: for the longest of its own ttl, the one that is asked for, and elect.settings.longest_ttl after the new epoch was first seen. Null: it does not (any more; also_past: or until when it did, within a day). Error 25006 on a standby.';
