CREATE OR REPLACE FUNCTION elect.compare_and_swap_version(key text, next text, version bigint, ttl interval DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(key);
  next_value CONSTANT text := elect.valid_text(nullif(next, ''), 'next', true);
  asked_version CONSTANT bigint := elect.valid_token(version, 'version', 0);
  asked_ttl CONSTANT interval := CASE WHEN ttl IS NOT NULL THEN elect.valid_ttl(ttl) END;
  lease elect.leases;
  at timestamptz;
BEGIN
  -- A plain read first: a key that was written since is left alone, without a lock.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  IF lease.version IS DISTINCT FROM asked_version AND (asked_version <> 0 OR elect.is_held(lease, clock_timestamp())) THEN
    RETURN NULL;
  END IF;

  lease := elect.lock_register(lease_name);
  at := clock_timestamp();
  IF lease.version IS DISTINCT FROM asked_version AND (asked_version <> 0 OR elect.is_held(lease, at)) THEN
    RETURN NULL;
  END IF;
  RETURN elect.write_register(lease, lease_name, at, next_value, asked_ttl);
END
$$;
COMMENT ON FUNCTION elect.compare_and_swap_version(text, text, bigint, interval) IS
  'Compare-and-swap on the version of a key: stores next if nothing was written since that version, and returns the new version; null if something was. Version 0: expect the key to be vacant. An empty next vacates; without a ttl it does not expire. Errors: 22023 bad argument, 55P03 another transaction was at the key for over a second, or a value that expires may have been lost by a fail-over (elect.epochs) and cannot be written before that is over.';
