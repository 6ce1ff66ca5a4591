CREATE OR REPLACE FUNCTION elect.release_queued(name text, token bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  key bigint;
  lease elect.leases;
  at timestamptz;
  released boolean := false;
  message text;
BEGIN
  IF (elect.is_name(name) AND token > 0) IS NOT TRUE THEN
    PERFORM elect.valid_name(name), elect.valid_token(token);
  END IF;
  SELECT l.holder, l.expires_at, l.session, l.part_of INTO lease.holder, lease.expires_at, lease.session, lease.part_of
  FROM elect.leases l
  WHERE l.name = release_queued.name AND l.token = release_queued.token AND l.holder IS NOT NULL
  FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    at := clock_timestamp();
    IF lease.session IS NULL AND lease.part_of IS NULL AND lease.expires_at > at THEN
      -- The usual release, as in release_lease: that of write_vacancy, without what is only for the others.
      UPDATE elect.leases AS l
      SET holder = NULL, version = l.version + 1, renewed_at = at, expires_at = at, metadata = NULL
      WHERE l.name = release_queued.name AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = release_queued.name);
      released := FOUND;
    END IF;
  END IF;
  key := elect.advisory_key(name);
  -- The lock of the session becomes one of the transaction: it comes free as soon as the release can be seen. Whoever is woken before that
  -- waits a second time, for the row.
  IF released THEN
    message := elect.news_of('released', release_queued.name, NULL, release_queued.token, lease.holder);
    RETURN elect.tell(message, name, NULL) AND pg_try_advisory_xact_lock(key) IS NOT NULL AND pg_advisory_unlock(key) IS NOT NULL;
  END IF;
  released := elect.release_lease(name, token);
  IF released THEN
    RETURN pg_try_advisory_xact_lock(key) IS NOT NULL AND pg_advisory_unlock(key) IS NOT NULL;
  END IF;
  -- There is nothing to be seen, and perhaps never was a lock.
  PERFORM pg_advisory_unlock(key);
  RETURN false;
END
$$;
COMMENT ON FUNCTION elect.release_queued(text, bigint) IS
  'Gives back a lease that acquire_queued granted in this session, and lets the next one in when its transaction ends. False if it was not held any more. Errors: as release_lease.';
