CREATE OR REPLACE FUNCTION elect.end_session_of(lease elect.leases, at timestamptz) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  old elect.sessions;
  freed elect.leases;
BEGIN
  -- Ended before one of its leases is given away: else a renewal that comes late, or a clock that goes back, would revive it with all
  -- the leases that it had. One that goes on is not even locked, as its next renewal would have to wait for that.
  SELECT * INTO old FROM elect.sessions s
  WHERE s.session = lease.session AND s.expires_at <= clock_timestamp()
  FOR UPDATE SKIP LOCKED;
  IF old.session IS NOT NULL THEN
    DELETE FROM elect.sessions s WHERE s.session = old.session;
    DELETE FROM elect.session_losses l WHERE l.session = old.session;
  ELSIF EXISTS (SELECT FROM elect.sessions s WHERE s.session = lease.session) THEN
    -- It goes on, or somebody is at it: renewing it, or binding a lease to it.
    RETURN lease;
  END IF;
  -- Since when it is vacant is written down, for the turns of those who wait for it (is_turn): nothing else says so any more.
  UPDATE elect.leases AS l
  SET version = l.version + 1, session = NULL, expires_at = least(old.expires_at, at)
  WHERE l.name = lease.name
  RETURNING * INTO freed;
  RETURN freed;
END
$$;
COMMENT ON FUNCTION elect.end_session_of(elect.leases, timestamptz) IS
  'Internal. Ends the session of a lease that has run out, for good, so that the lease can be given to another, and returns the lease without a session; as it is, if its session goes on, or somebody is at that. The caller has locked the row, and read the clock (at) after that.';
