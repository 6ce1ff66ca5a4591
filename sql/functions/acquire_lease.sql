CREATE OR REPLACE FUNCTION elect.acquire_lease(
  name text, holder text, ttl interval DEFAULT '15 seconds', metadata jsonb DEFAULT NULL,
  wait boolean DEFAULT false, priority integer DEFAULT 0,
  backend integer DEFAULT NULL, session uuid DEFAULT NULL
) RETURNS elect.lease_grant
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  asked_ttl interval;
  lease elect.leases;
  at timestamptz;
  rank integer;
  in_epoch elect.epochs;
  grace_until timestamptz;
  nobody_waits boolean;
  held boolean := false;
  locked_version bigint;
  new_token bigint;
  message text;
  -- Whether this transaction alone may give the lease away: it has the vacant row, or has seen that there is none.
  vacancy_locked boolean := false;
BEGIN
  -- One look at all of them: each expression is set up anew in each transaction, with all that stands in it, whether it comes to
  -- that or not. So the usual way through this function has few of them, and short ones.
  IF elect.is_usual(name, holder, ttl) AND metadata IS NULL AND wait IS NOT NULL AND backend IS NULL THEN
    asked_ttl := ttl;
  ELSE
    PERFORM elect.valid_name(name), elect.valid_text(holder, 'holder'), elect.valid_metadata(metadata), elect.valid_choice(wait, 'wait'),
      elect.valid_backend(backend);
    asked_ttl := elect.valid_ttl(ttl);
  END IF;
  IF session IS NOT NULL THEN
    asked_ttl := (elect.valid_session(session)).ttl;
  END IF;

  -- The setting above: a bitmap would leave the entries of old tokens in the index for ever.
  -- A plain read first: contention for a held lease, the usual case, locks and writes nothing.
  SELECT * INTO lease FROM elect.leases l WHERE l.name = acquire_lease.name;
  at := clock_timestamp();
  IF lease.holder IS NOT NULL THEN
    IF lease.expires_at > at AND lease.holder <> acquire_lease.holder AND lease.renewed_at <= at AND lease.session IS NULL THEN
      IF NOT wait THEN
        RETURN ROW(false, lease.holder, lease.token, lease.version, lease.metadata, lease.expires_at - at, NULL)::elect.lease_grant;
      ELSIF priority IS NOT NULL THEN
        -- The usual place in line: that of below, where nobody is at the row, nor has been since it was read.
        SELECT l.version INTO locked_version FROM elect.leases l WHERE l.name = acquire_lease.name FOR NO KEY UPDATE SKIP LOCKED;
        at := clock_timestamp();
        IF locked_version = lease.version AND lease.expires_at > at AND lease.renewed_at <= at THEN
          rank := elect.stand_in_line(acquire_lease.name, acquire_lease.holder, priority, true, asked_ttl, acquire_lease.metadata,
            coalesce(backend, pg_backend_pid()), at);
          RETURN ROW(false, lease.holder, lease.token, lease.version, lease.metadata, lease.expires_at - at, rank)::elect.lease_grant;
        END IF;
      END IF;
    END IF;
    held := elect.is_held(lease, at);
  END IF;

  IF held AND lease.holder <> acquire_lease.holder THEN
    IF elect.is_from_future(lease, at) THEN
      lease := elect.cut_to_clock(acquire_lease.name);
      at := clock_timestamp();
      held := elect.is_held(lease, at);
    END IF;
    IF NOT wait OR priority IS NULL THEN
      RETURN elect.lease_answer(false, lease, at);
    END IF;
    -- Standing in line and releasing meet under this lock: whoever releases next sees the place, or has released
    -- before, and that is seen here.
    lease := elect.lock_row(acquire_lease.name);
    at := clock_timestamp();
    held := elect.is_held(lease, at);
    IF held AND lease.holder <> acquire_lease.holder THEN
      rank := elect.stand_in_line(acquire_lease.name, acquire_lease.holder, priority, true, asked_ttl, acquire_lease.metadata,
        elect.valid_backend(backend), at);
      RETURN elect.lease_answer(false, lease, at, rank);
    END IF;
  END IF;

  IF priority IS NULL THEN
    RETURN elect.lease_answer(false, lease, at);
  END IF;
  IF held THEN
    -- Its own already: an earlier answer was lost. NO KEY, because its guarded transactions may be under way.
    SELECT * INTO lease FROM elect.leases l
    WHERE l.name = acquire_lease.name AND l.token = lease.token AND l.holder = acquire_lease.holder
    FOR NO KEY UPDATE SKIP LOCKED;
    at := clock_timestamp();
    held := elect.is_held(lease, at);
    IF held AND lease.holder = acquire_lease.holder THEN
      -- A name proves less than a token does: it may have given the lease back since, and that have been lost.
      grace_until := elect.grace_of(lease, asked_ttl, at, elect.epoch_at(at, true));
      IF grace_until IS NOT NULL THEN
        RETURN elect.grace_answer(grace_until, at);
      END IF;
      lease := elect.write_renewal(lease, at, asked_ttl, acquire_lease.metadata, session);
      RETURN elect.lease_answer(true, lease, at);
    END IF;
  ELSE
    -- It looks vacant. Contenders go one at a time, and those who are not first leave instead of waiting.
    IF NOT pg_try_advisory_xact_lock(elect.advisory_key(acquire_lease.name)) THEN
      RETURN elect.lease_answer(false, NULL, at);
    END IF;
    -- FOR UPDATE conflicts with the row lock of a guarded transaction: while one is open nobody takes over.
    SELECT l.version INTO locked_version FROM elect.leases l WHERE l.name = acquire_lease.name FOR UPDATE SKIP LOCKED;
    vacancy_locked := locked_version IS NOT NULL;
    IF NOT vacancy_locked THEN
      lease := NULL;
      vacancy_locked := NOT EXISTS (SELECT FROM elect.leases l WHERE l.name = acquire_lease.name);
      IF NOT vacancy_locked AND wait THEN
        lease := elect.lock_row(acquire_lease.name);
      END IF;
      at := clock_timestamp();
      held := elect.is_held(lease, at);
    ELSIF locked_version IS DISTINCT FROM lease.version THEN
      -- Written since it was read. Else what was read is what is locked, and what was vacant is vacant.
      SELECT * INTO lease FROM elect.leases l WHERE l.name = acquire_lease.name;
      at := clock_timestamp();
      held := elect.is_held(lease, at);
    ELSE
      -- Not earlier than the moment at which it was found vacant, also where the clock has gone back since.
      at := greatest(at, clock_timestamp());
      -- The usual grant: that of write_grant, without what is only for the others. Written here, because another function costs more
      -- than what it would do.
      IF lease.session IS NULL AND session IS NULL AND elect.is_in_force(lease.epoch) THEN
        new_token := elect.next_token(lease.token, at, lease.epoch);
        UPDATE elect.leases AS l
        SET holder = acquire_lease.holder, token = new_token, version = l.version + 1,
            acquired_at = at, renewed_at = at, expires_at = at + asked_ttl, ttl = asked_ttl,
            metadata = acquire_lease.metadata, is_bound = false, part_of = NULL
        -- In a statement after the lock, so that it sees all who stood in line before that.
        WHERE l.name = acquire_lease.name AND NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = acquire_lease.name);
        IF FOUND THEN
          IF NOT elect.is_durable() THEN
            PERFORM elect.raise_durability();
          END IF;
          message := elect.news_of(CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, acquire_lease.name,
            acquire_lease.holder, new_token, lease.holder);
          RETURN ROW(elect.tell(message, acquire_lease.name, NULL), acquire_lease.holder, new_token, locked_version + 1, acquire_lease.metadata,
            asked_ttl, NULL)::elect.lease_grant;
        END IF;
      END IF;
    END IF;
  END IF;

  nobody_waits := NOT EXISTS (SELECT FROM elect.candidates c WHERE c.lease = acquire_lease.name);
  rank := CASE WHEN nobody_waits THEN 0 ELSE elect.rank_in_line(acquire_lease.name, acquire_lease.holder, priority, at) END;
  IF vacancy_locked AND lease.session IS NOT NULL AND NOT held THEN
    lease := elect.end_session_of(lease, at);
  END IF;
  IF vacancy_locked AND NOT held AND lease.session IS NULL THEN
    in_epoch := elect.epoch_at(at, true);
    grace_until := elect.grace_of(lease, asked_ttl, at, in_epoch);
    IF grace_until IS NULL AND (rank = 0 OR elect.is_turn(lease, rank, at, elect.grace_of(lease, asked_ttl, at, in_epoch, also_past => true))) THEN
      lease := elect.write_grant(lease, acquire_lease.name, at, acquire_lease.holder, asked_ttl, acquire_lease.metadata,
        CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END, epoch => in_epoch.epoch, nobody_waits => nobody_waits, session => session);
      RETURN elect.lease_answer(true, lease, at);
    END IF;
  END IF;
  IF wait AND lease.name IS NOT NULL THEN
    rank := elect.stand_in_line(acquire_lease.name, acquire_lease.holder, priority, true, asked_ttl, acquire_lease.metadata,
      elect.valid_backend(backend), at);
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
  'Grants the lease to the holder if it is vacant and nobody who waits goes before; if the holder has it already, extends it under the same token. Else granted is false and the row tells who holds it and for how long; all null: it is changing hands or in use at this moment, ask again soon; expires_in alone: it is in its grace after a fail-over (elect.epochs), ask again after that time; its holder renews it by its token. wait: a contender that is refused gets a place in line, by priority (larger first), then arrival, and rank says how many go before it; the place lasts for one ttl and has to be refreshed (refresh_candidates) or given up (leave_queue). priority null: asks only, is never granted. backend: process id of the session that is to be told of a hand-off, if another one than this listens (listen_here). session: what keeps the lease, in place of a ttl of its own (open_session). Never waits for a lock, but for that of the line if wait. ttl: 100 ms to 24 h, 15 s by default. Errors: 22023 bad argument, LE004 the session has ended, 55P03 with wait: another transaction was at the row for over a second; without: the session that keeps it was in use for over 100 ms.';
