CREATE OR REPLACE FUNCTION elect.end_session_of(lease elect.leases) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  old elect.sessions;
BEGIN
  IF lease.session IS NULL THEN
    RETURN true;
  END IF;
  -- Ended before one of its leases is given away: else a renewal that comes late, or a clock that goes back, would revive it with all
  -- the leases that it had.
  SELECT * INTO old FROM elect.sessions s WHERE s.session = lease.session FOR UPDATE SKIP LOCKED;
  IF old.session IS NULL THEN
    -- Gone already, or somebody is at it: renewing it, or binding a lease to it.
    RETURN NOT EXISTS (SELECT FROM elect.sessions s WHERE s.session = lease.session);
  END IF;
  IF old.expires_at > clock_timestamp() THEN
    RETURN false;
  END IF;
  DELETE FROM elect.sessions s WHERE s.session = old.session;
  DELETE FROM elect.session_losses l WHERE l.session = old.session;
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.end_session_of(elect.leases) IS
  'Internal. Ends the session of a lease that has run out, for good, so that the lease can be given to another; false if it has not, or somebody is at it. True if the lease has none.';
