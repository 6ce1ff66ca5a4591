CREATE OR REPLACE FUNCTION elect.renew_session(session uuid) RETURNS elect.session_renewal
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
  SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  answer elect.session_renewal;
  kept elect.sessions;
  at timestamptz;
  may_have_losses boolean;
BEGIN
  IF NOT elect.is_durable() THEN
    PERFORM elect.raise_durability();
  END IF;
  -- The usual case, in one statement. It may wait for whoever looked whether the session has run out, and then has a clock from before:
  -- so only where more time is left than it may wait.
  UPDATE elect.sessions AS s
  SET renewed_at = clock_timestamp(), expires_at = greatest(s.expires_at, clock_timestamp() + s.ttl)
  WHERE s.session = renew_session.session AND s.expires_at > clock_timestamp() + interval '200 milliseconds'
    AND s.renewed_at <= clock_timestamp() AND elect.is_in_force(s.epoch)
  -- The table of losses is nearly always empty, and asking for its size costs less than looking into it.
  RETURNING true, s.expires_at - s.renewed_at, false, pg_relation_size('elect.session_losses') > 0
  INTO answer.granted, answer.expires_in, answer.must_reopen, may_have_losses;
  IF NOT may_have_losses THEN
    RETURN answer;
  END IF;
  IF answer.granted IS NULL THEN
    SELECT * INTO kept FROM elect.sessions s WHERE s.session = renew_session.session FOR NO KEY UPDATE SKIP LOCKED;
    at := clock_timestamp();
    answer.must_reopen := false;
    IF kept.session IS NULL THEN
      -- Somebody is at it: that says nothing yet.
      answer.granted := CASE WHEN NOT EXISTS (SELECT FROM elect.sessions s WHERE s.session = renew_session.session) THEN false END;
      RETURN answer;
    ELSIF kept.expires_at <= at THEN
      answer.granted := false;
      RETURN answer;
    ELSIF kept.epoch <> (elect.epoch_at(at, true)).epoch THEN
      -- It may have ended on a server of which this one does not know all: its leases prove themselves by their tokens, one by one.
      answer.granted := false;
      answer.must_reopen := true;
    ELSE
      UPDATE elect.sessions AS s
      SET renewed_at = at,
          expires_at = CASE
            WHEN kept.renewed_at > at THEN at + greatest(s.ttl, kept.expires_at - kept.renewed_at)
            ELSE greatest(kept.expires_at, at + s.ttl)
          END
      WHERE s.session = kept.session
      RETURNING true, s.expires_at - s.renewed_at INTO answer.granted, answer.expires_in;
    END IF;
  END IF;
  SELECT array_agg(l.name ORDER BY l.name, l.token), array_agg(l.token ORDER BY l.name, l.token)
  INTO answer.lost_names, answer.lost_tokens
  FROM elect.session_losses l WHERE l.session = renew_session.session;
  RETURN answer;
END
$$;
COMMENT ON FUNCTION elect.renew_session(uuid) IS
  'Renews all leases of a session by one row, for its ttl from now on; never shortens what was promised. granted false: it has ended, and all its leases with it, unless must_reopen: then the server is in another epoch (a fail-over, a restore), and its leases may be kept by renewing them, by their tokens, in another session (renew_leases). granted null: another transaction is at it, ask again soon. lost_names, lost_tokens: leases that were taken from it since it was opened (force_release, take_over, a swap, a release or transfer by another): each time again. Errors: 55P03 another transaction was at it for over 100 ms: ask again, 25006 on a standby.';
