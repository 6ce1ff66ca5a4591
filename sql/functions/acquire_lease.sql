CREATE OR REPLACE FUNCTION elect.acquire_lease(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL,
  wait boolean DEFAULT false, priority integer DEFAULT 0,
  backend integer DEFAULT NULL, session uuid DEFAULT NULL
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  contender CONSTANT text := elect.valid_text(holder, 'holder');
  asked_ttl CONSTANT interval := CASE WHEN session IS NULL THEN elect.valid_ttl(ttl) ELSE (elect.valid_session(session)).ttl END;
  asked_metadata CONSTANT jsonb := elect.valid_metadata(metadata);
  is_eligible CONSTANT boolean := priority IS NOT NULL;
  stands_in_line CONSTANT boolean := elect.valid_choice(wait, 'wait') AND is_eligible;
  told CONSTANT integer := elect.valid_backend(backend);
  lease elect.leases;
  at timestamptz;
  rank integer;
  in_epoch elect.epochs;
  grace_until timestamptz;
  nobody_waits boolean;
  -- Whether this transaction alone may give the lease away: it has the vacant row, or has seen that there is none.
  vacancy_locked boolean := false;
BEGIN
  -- The settings above: a look-up by name whose plan does not depend on what the statistics said when it was made. A bitmap would also
  -- leave the entries of old tokens in the index for ever.
  -- A plain read first: contention for a held lease, the usual case, locks and writes nothing.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  at := clock_timestamp();

  IF elect.is_held(lease, at) AND lease.holder <> contender THEN
    IF elect.is_from_future(lease, at) THEN
      lease := elect.cut_to_clock(lease_name);
      at := clock_timestamp();
    END IF;
    IF NOT stands_in_line THEN
      RETURN elect.lease_answer(false, lease, at);
    END IF;
    -- Standing in line and releasing meet under this lock: whoever releases next sees the place, or has released
    -- before, and that is seen here.
    lease := elect.lock_row(lease_name);
    at := clock_timestamp();
    IF elect.is_held(lease, at) AND lease.holder <> contender THEN
      rank := elect.stand_in_line(lease_name, contender, priority, true, asked_ttl, asked_metadata, told, at);
      RETURN elect.lease_answer(false, lease, at, rank);
    END IF;
  END IF;

  IF NOT is_eligible THEN
    RETURN elect.lease_answer(false, lease, at);
  END IF;
  IF elect.is_held(lease, at) THEN
    -- Its own already: an earlier answer was lost. NO KEY, because its guarded transactions may be under way.
    SELECT * INTO lease FROM elect.leases l
    WHERE l.name = lease_name AND l.token = lease.token AND l.holder = contender
    FOR NO KEY UPDATE SKIP LOCKED;
  ELSE
    -- It looks vacant. Contenders go one at a time, and those who are not first leave instead of waiting.
    IF NOT pg_try_advisory_xact_lock(elect.advisory_key(lease_name)) THEN
      RETURN elect.lease_answer(false, NULL, at);
    END IF;
    -- FOR UPDATE conflicts with the row lock of a guarded transaction: while one is open nobody takes over.
    SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name FOR UPDATE SKIP LOCKED;
    vacancy_locked := true;
    IF lease.name IS NULL THEN
      vacancy_locked := NOT EXISTS (SELECT FROM elect.leases l WHERE l.name = lease_name);
    END IF;
    IF NOT vacancy_locked AND stands_in_line THEN
      lease := elect.lock_row(lease_name);
    END IF;
  END IF;

  at := clock_timestamp();
  IF elect.is_held(lease, at) AND lease.holder = contender THEN
    -- A name proves less than a token does: it may have given the lease back since, and that have been lost.
    grace_until := elect.grace_of(lease, asked_ttl, at, elect.epoch_at(at, true));
    IF grace_until IS NOT NULL THEN
      RETURN elect.grace_answer(grace_until, at);
    END IF;
    lease := elect.write_renewal(lease, at, asked_ttl, asked_metadata, session);
    RETURN elect.lease_answer(true, lease, at);
  END IF;
  nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = lease_name);
  rank := CASE WHEN nobody_waits THEN 0 ELSE elect.rank_in_line(lease_name, contender, priority, at) END;
  IF vacancy_locked AND lease.session IS NOT NULL AND NOT elect.is_held(lease, at) THEN
    lease := elect.end_session_of(lease, at);
  END IF;
  IF vacancy_locked AND NOT elect.is_held(lease, at) AND lease.session IS NULL THEN
    IF elect.is_in_force(lease.epoch, at) THEN
      in_epoch.epoch := lease.epoch;
    ELSE
      in_epoch := elect.epoch_at(at, true);
      grace_until := elect.grace_of(lease, asked_ttl, at, in_epoch);
    END IF;
    IF grace_until IS NULL AND (rank = 0 OR elect.is_turn(lease, rank, at, elect.grace_of(lease, asked_ttl, at, in_epoch, also_past => true))) THEN
      lease := elect.write_grant(lease, lease_name, at, contender, asked_ttl, asked_metadata,
        CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, epoch => in_epoch.epoch, nobody_waits => nobody_waits, session => session);
      RETURN elect.lease_answer(true, lease, at);
    END IF;
  END IF;
  IF stands_in_line AND lease.name IS NOT NULL THEN
    rank := elect.stand_in_line(lease_name, contender, priority, true, asked_ttl, asked_metadata, told, at);
  ELSE
    rank := NULL;
  END IF;
  IF grace_until IS NOT NULL THEN
    RETURN elect.grace_answer(grace_until, at, rank);
  END IF;
  RETURN elect.lease_answer(false, lease, at, rank);
END
$$;
COMMENT ON FUNCTION elect.acquire_lease(text, text, interval, jsonb, boolean, integer, integer, uuid) IS
  'Grants the lease to the holder if it is vacant and nobody who waits goes before; if the holder has it already, extends it under the same token. Else granted is false and the row tells who holds it and for how long; all null: it is changing hands or in use at this moment, ask again soon; expires_in alone: it is in its grace after a fail-over (elect.epochs), ask again after that time; its holder renews it by its token. wait: a contender that is refused gets a place in line, by priority (larger first), then arrival, and rank says how many go before it; the place lasts for one ttl and has to be refreshed (refresh_candidates) or given up (leave_queue). priority null: asks only, is never granted. backend: process id of the session that is to be told of a hand-off, if another one than this listens (listen_here). session: what keeps the lease, in place of a ttl of its own (open_session). Never waits for a lock, but for that of the line if wait. ttl: 100 ms to 24 h, 15 s by default. Errors: 22023 bad argument, LE004 the session has ended, 55P03 with wait: another transaction was at the row for over a second.';
