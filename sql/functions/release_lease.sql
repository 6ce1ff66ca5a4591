CREATE OR REPLACE FUNCTION elect.release_lease(name text, token bigint, session uuid DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  lease elect.leases;
  at timestamptz;
  granted elect.leases;
  may_grant boolean;
  nobody_waits boolean;
  message text;
BEGIN
  IF (elect.is_name(name) AND token > 0) IS NOT TRUE THEN
    PERFORM elect.valid_name(name), elect.valid_token(token);
  END IF;
  -- A new token needs this lock. Usually nobody is in the way of it. Only what the usual release asks for: the whole row costs twice as much.
  SELECT l.holder, l.expires_at, l.session, l.part_of INTO lease.holder, lease.expires_at, lease.session, lease.part_of
  FROM elect.leases l
  WHERE l.name = release_lease.name AND l.token = release_lease.token AND l.holder IS NOT NULL
  FOR UPDATE SKIP LOCKED;
  may_grant := FOUND;
  IF NOT may_grant THEN
    -- Those who are standing in line at this moment are waited for. A guarded transaction of the holder is not: then the
    -- lease becomes vacant, and the first in line takes it as soon as that has ended.
    lease := elect.lock_lease(release_lease.name, release_lease.token);
    PERFORM FROM elect.leases l WHERE l.name = lease.name FOR UPDATE SKIP LOCKED;
    may_grant := FOUND;
  END IF;
  at := clock_timestamp();
  IF may_grant AND lease.session IS NULL AND lease.part_of IS NULL AND lease.expires_at > at THEN
    -- That of write_vacancy, without what is only for the others, as in acquire_lease. In a statement after the lock, without which
    -- nobody takes a place in line.
    UPDATE elect.leases AS l
    SET holder = NULL, version = l.version + 1, renewed_at = at, expires_at = at, metadata = NULL
    WHERE l.name = release_lease.name AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = release_lease.name);
    IF FOUND THEN
      message := elect.news_of('released', release_lease.name, NULL, release_lease.token, lease.holder);
      RETURN elect.tell(message, release_lease.name, NULL);
    END IF;
    nobody_waits := false;
  END IF;
  IF may_grant AND lease.name IS NULL THEN
    SELECT * INTO lease FROM elect.leases l WHERE l.name = release_lease.name;
  END IF;
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  IF lease.part_of IS NOT NULL THEN
    PERFORM elect.release_share(lease, session);
    RETURN true;
  END IF;
  IF nobody_waits IS NULL THEN
    nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = release_lease.name);
  END IF;
  IF may_grant AND NOT nobody_waits THEN
    granted := elect.hand_over(lease, at, 'granted', own_session => session);
    IF granted.name IS NOT NULL THEN
      RETURN true;
    END IF;
  END IF;
  -- No raise_durability: a release that a crash undoes costs the others one ttl, not their safety.
  RETURN elect.write_vacancy(lease, at, 'released', nobody_waits => nobody_waits, own_session => session);
END
$$;
COMMENT ON FUNCTION elect.release_lease(text, bigint, uuid) IS
  'Gives back the lease that was granted with this token: grants it to the first in line, which has 2 seconds (or its ttl) to renew it, or vacates it, and tells the followers. False if it was not held with it any more. A guarded transaction of the holder that is still open keeps the next one out until it ends. session: the one that keeps it, from whoever renews that: else its next renewal tells it as a loss. Errors: 22023 bad argument, 55P03 another transaction was at the row for over a second.';
