CREATE OR REPLACE FUNCTION elect.take_over(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL, priority integer DEFAULT 0,
  longest interval DEFAULT '900 milliseconds'
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  asked_ttl CONSTANT interval := elect.valid_ttl(ttl);
  asked_metadata CONSTANT jsonb := elect.valid_metadata(metadata);
  key CONSTANT bigint := elect.bind_key(lease_name);
  lease elect.leases;
  at timestamptz;
  is_locked boolean := false;
  is_own boolean;
BEGIN
  PERFORM elect.require_fresh_snapshots();
  -- Its own lock would let this session through, while the one that the lease is bound to has not ended: it is this one.
  is_own := elect.has_session_lock(key);
  IF NOT elect.wait_for_lock(key, longest) THEN
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
    RETURN elect.lease_answer(false, lease, clock_timestamp());
  END IF;
  is_locked := true;
  -- The session that the lease was bound to has ended. Its guarded transactions may not have: they come first.
  lease := elect.lock_vacancy(lease_name);
  at := clock_timestamp();
  IF lease.part_of IS NOT NULL THEN
    RAISE EXCEPTION 'Lease % is a share of %, which cannot be taken over', lease_name, lease.part_of
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Ask for a share of your own: the room of this one is free when it expires.';
  END IF;
  IF elect.is_held(lease, at) AND lease.is_bound AND NOT is_own AND lease.holder <> contender
     AND elect.rank_in_line(lease_name, contender, coalesce(priority, 0), at) = 0
     -- It may have given up while it waited here.
     AND EXISTS (
       SELECT FROM elect.candidates c
       WHERE c.lease = lease_name AND c.candidate = contender AND elect.is_waiting(c, at))
     -- After a fail-over no session has the lock, though the holder may be alive: it counts once that has renewed here.
     AND elect.grace_of(lease, asked_ttl, at, elect.epoch_at(at, true)) IS NULL THEN
    lease := elect.write_grant(lease, lease_name, at, contender, asked_ttl, asked_metadata, 'expired');
    UPDATE elect.leases AS l SET is_bound = true WHERE l.name = lease_name;
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  PERFORM pg_advisory_unlock(key);
  RETURN elect.lease_answer(false, lease, at);
EXCEPTION
  -- The lock outlives the transaction; what it was taken for does not.
  WHEN query_canceled OR OTHERS THEN
    IF is_locked THEN
      PERFORM pg_advisory_unlock(key);
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION elect.take_over(text, text, interval, jsonb, integer, interval) IS
  'Waits for up to longest (1 ms to 1 s) for the session to end that the lease is bound to (bind_lease), and takes the lease over, under a new token and bound to this session. granted is false if that has not ended, nobody has bound it, the contender has no place in line (acquire_lease, wait), others go before, or the lease is in its grace: then ask again. Guarded transactions of the old holder are waited for. Not behind a pooler in transaction mode. Errors: 22023 bad argument, 25000 at REPEATABLE READ and SERIALIZABLE.';
