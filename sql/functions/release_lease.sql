CREATE OR REPLACE FUNCTION elect.release_lease(name text, token bigint, session uuid DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off SET lock_timeout = '1s'
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  asked_token CONSTANT bigint := elect.valid_token(token);
  lease elect.leases;
  at timestamptz;
  granted elect.leases;
  may_grant boolean;
  nobody_waits boolean;
BEGIN
  -- A new token needs this lock. Usually nobody is in the way of it.
  SELECT * INTO lease FROM elect.leases l
  WHERE l.name = lease_name AND l.token = asked_token AND l.holder IS NOT NULL
  FOR UPDATE SKIP LOCKED;
  may_grant := FOUND;
  IF NOT may_grant THEN
    -- Those who are standing in line at this moment are waited for. A guarded transaction of the holder is not: then the
    -- lease becomes vacant, and the first in line takes it as soon as that has ended.
    lease := elect.lock_lease(lease_name, asked_token);
    PERFORM FROM elect.leases l WHERE l.name = lease.name FOR UPDATE SKIP LOCKED;
    may_grant := FOUND;
  END IF;
  at := clock_timestamp();
  IF NOT elect.is_held(lease, at) THEN
    RETURN false;
  END IF;
  IF lease.part_of IS NOT NULL THEN
    PERFORM elect.release_share(lease, session);
    RETURN true;
  END IF;
  -- Under the lock of the row, without which nobody takes a place.
  nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = lease_name);
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
