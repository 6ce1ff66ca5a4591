CREATE OR REPLACE FUNCTION elect.acquire_queued(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL, longest interval DEFAULT '900 milliseconds'
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off SET lock_timeout = '900ms'
AS $$
#variable_conflict use_column
DECLARE
  key bigint;
  lease elect.leases;
  at timestamptz;
  rank integer;
  nobody_waits boolean;
  in_epoch elect.epochs;
  grace_until timestamptz;
  new_token bigint;
  message text;
BEGIN
  -- As in acquire_lease: the usual way through this function has few expressions, and short ones.
  IF (elect.is_usual(name, holder, ttl) AND metadata IS NULL AND longest = '900 milliseconds'
      AND current_setting('transaction_isolation') = 'read committed') IS NOT TRUE THEN
    PERFORM elect.valid_name(name), elect.valid_text(holder, 'holder'), elect.valid_metadata(metadata), elect.require_fresh_snapshots();
    ttl := elect.valid_ttl(ttl);
    -- Until this function ends, as the setting above.
    PERFORM set_config('lock_timeout', elect.valid_longest(longest)::text, true);
  END IF;
  key := elect.advisory_key(name);
  -- Asked again by the one that has it, after a lost answer: what is locked twice would have to be unlocked twice.
  IF EXISTS (SELECT FROM elect.leases l WHERE l.name = acquire_queued.name AND l.holder = acquire_queued.holder) THEN
    IF elect.has_session_lock(key) THEN
      RETURN elect.acquire_lease(name, holder, ttl, metadata);
    END IF;
  END IF;
  -- Not for the session before it is granted: the lock would outlive an error, and one that is granted in the moment in which the time
  -- runs out would be kept in spite of that. That of a transaction is undone with it.
  IF NOT pg_try_advisory_xact_lock(key) THEN
    BEGIN
      PERFORM pg_advisory_xact_lock(key);
    EXCEPTION
      WHEN lock_not_available THEN
        SELECT * INTO lease FROM elect.leases l WHERE l.name = acquire_queued.name;
        RETURN elect.lease_answer(false, lease, clock_timestamp());
    END;
  END IF;

  -- Usually whoever had the lock before has released the lease, which was committed before the lock came free. Only what the usual grant
  -- asks for.
  SELECT l.holder, l.token, l.version, l.epoch, l.expires_at, l.session
  INTO lease.holder, lease.token, lease.version, lease.epoch, lease.expires_at, lease.session
  FROM elect.leases l WHERE l.name = acquire_queued.name
  FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    at := clock_timestamp();
    -- The usual grant, as in acquire_lease: that of write_grant, without what is only for the others.
    IF (lease.holder IS NULL OR lease.expires_at <= at) AND lease.session IS NULL AND elect.is_in_force(lease.epoch) THEN
      new_token := elect.next_token(lease.token, at, lease.epoch);
      UPDATE elect.leases AS l
      SET holder = acquire_queued.holder, token = new_token, version = l.version + 1,
          acquired_at = at, renewed_at = at, expires_at = at + acquire_queued.ttl, ttl = acquire_queued.ttl,
          metadata = acquire_queued.metadata, is_bound = false, part_of = NULL
      -- In a statement after the lock, so that it sees all who stood in line before that.
      WHERE l.name = acquire_queued.name AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = acquire_queued.name);
      IF FOUND THEN
        IF NOT elect.is_durable() THEN
          PERFORM elect.raise_durability();
        END IF;
        message := elect.news_of(CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, acquire_queued.name,
          acquire_queued.holder, new_token, lease.holder);
        -- The lock of the session comes last, as no error undoes it. It is there already, so this neither waits nor fails.
        RETURN ROW(elect.tell(message, acquire_queued.name, NULL) AND pg_try_advisory_lock(key), acquire_queued.holder, new_token,
          lease.version + 1, acquire_queued.metadata, acquire_queued.ttl, NULL)::elect.lease_grant;
      END IF;
    END IF;
  END IF;

  -- A guarded transaction is waited for, or one that releases it otherwise.
  lease := elect.lock_vacancy(name);
  at := clock_timestamp();
  in_epoch := elect.epoch_at(at, true);
  nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = acquire_queued.name);
  rank := CASE WHEN nobody_waits THEN 0 ELSE elect.rank_in_line(name, holder, 0, at) END;
  IF lease.session IS NOT NULL AND NOT elect.is_held(lease, at) THEN
    lease := elect.end_session_of(lease, at);
  END IF;
  IF lease.name IS NULL AND EXISTS (SELECT FROM elect.leases l WHERE l.name = acquire_queued.name)
     OR elect.is_held(lease, at) AND lease.holder <> acquire_queued.holder
     OR lease.session IS NOT NULL AND NOT elect.is_held(lease, at)
     OR NOT (rank = 0 OR elect.is_turn(lease, rank, at, elect.grace_of(lease, ttl, at, in_epoch, also_past => true))) THEN
    RETURN elect.lease_answer(false, lease, at);
  END IF;
  grace_until := elect.grace_of(lease, ttl, at, in_epoch);
  IF grace_until IS NOT NULL THEN
    RETURN elect.grace_answer(grace_until, at);
  END IF;
  IF elect.is_held(lease, at) THEN
    lease := elect.write_renewal(lease, at, ttl, metadata);
  ELSE
    lease := elect.write_grant(lease, name, at, holder, ttl, metadata,
      CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, epoch => in_epoch.epoch, nobody_waits => nobody_waits);
  END IF;
  RETURN elect.lease_answer(pg_try_advisory_lock(key), lease, at);
END
$$;
COMMENT ON FUNCTION elect.acquire_queued(text, text, interval, jsonb, interval) IS
  'The fastest way to wait: on the advisory lock of the name, in the server''s own queue, for up to longest (1 ms to 1 s), then takes the lease. The session keeps the lock until release_queued, or until its connection ends. granted is false if it was not in time, or the lease is held by one that did not wait here: ask again; expires_in alone: it is in its grace, as in acquire_lease. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 55P03 the session that keeps it was in use for over 100 ms, 25000 at REPEATABLE READ and SERIALIZABLE.';
