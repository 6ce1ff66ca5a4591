CREATE OR REPLACE FUNCTION elect.acquire_queued(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL, longest interval DEFAULT '900 milliseconds'
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  asked_ttl CONSTANT interval := elect.valid_ttl(ttl);
  asked_metadata CONSTANT jsonb := elect.valid_metadata(metadata);
  key CONSTANT bigint := elect.advisory_key(lease_name);
  lease elect.leases;
  at timestamptz;
  rank integer;
  nobody_waits boolean;
  in_epoch elect.epochs;
  grace_until timestamptz;
  is_locked boolean := false;
BEGIN
  PERFORM elect.require_fresh_snapshots();
  -- Asked again by the one that has it, after a lost answer: what is locked twice would have to be unlocked twice.
  IF EXISTS (SELECT FROM elect.leases l WHERE l.name = lease_name AND l.holder = contender) AND elect.has_session_lock(key) THEN
    RETURN elect.acquire_lease(lease_name, contender, asked_ttl, asked_metadata);
  END IF;
  IF NOT elect.wait_for_lock(key, longest) THEN
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
    RETURN elect.lease_answer(false, lease, clock_timestamp());
  END IF;
  is_locked := true;
  -- Whoever had the lock before has released the lease first, but that may not be committed yet: it is waited for.
  lease := elect.lock_vacancy(lease_name);
  at := clock_timestamp();
  in_epoch := elect.epoch_at(at, true);
  nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = lease_name);
  rank := CASE WHEN nobody_waits THEN 0 ELSE elect.rank_in_line(lease_name, contender, 0, at) END;
  IF lease.session IS NOT NULL AND NOT elect.is_held(lease, at) THEN
    lease := elect.end_session_of(lease, at);
  END IF;
  IF lease.name IS NULL AND EXISTS (SELECT FROM elect.leases l WHERE l.name = lease_name)
     OR elect.is_held(lease, at) AND lease.holder <> contender
     OR lease.session IS NOT NULL AND NOT elect.is_held(lease, at)
     OR NOT (rank = 0 OR elect.is_turn(lease, rank, at, elect.grace_of(lease, asked_ttl, at, in_epoch, also_past => true))) THEN
    PERFORM pg_advisory_unlock(key);
    RETURN elect.lease_answer(false, lease, at);
  END IF;
  grace_until := elect.grace_of(lease, asked_ttl, at, in_epoch);
  IF grace_until IS NOT NULL THEN
    PERFORM pg_advisory_unlock(key);
    RETURN elect.grace_answer(grace_until, at);
  END IF;
  IF elect.is_held(lease, at) THEN
    lease := elect.write_renewal(lease, at, asked_ttl, asked_metadata);
  ELSE
    lease := elect.write_grant(lease, lease_name, at, contender, asked_ttl, asked_metadata,
      CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, epoch => in_epoch.epoch, nobody_waits => nobody_waits);
  END IF;
  RETURN elect.lease_answer(true, lease, at);
EXCEPTION
  -- The lock outlives the transaction; what it was taken for does not. One that the session had before stays.
  WHEN query_canceled OR OTHERS THEN
    IF is_locked THEN
      PERFORM pg_advisory_unlock(key);
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION elect.acquire_queued(text, text, interval, jsonb, interval) IS
  'The fastest way to wait: on the advisory lock of the name, in the server''s own queue, for up to longest (1 ms to 1 s), then takes the lease. The session keeps the lock until release_queued, or until its connection ends. granted is false if it was not in time, or the lease is held by one that did not wait here: ask again; expires_in alone: it is in its grace, as in acquire_lease. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 55P03 the session that keeps it was in use for over 100 ms, 25000 at REPEATABLE READ and SERIALIZABLE.';
