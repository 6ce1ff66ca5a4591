CREATE OR REPLACE FUNCTION elect.lock_session(session uuid) RETURNS elect.sessions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
#variable_conflict use_column
DECLARE
  kept elect.sessions;
BEGIN
  -- Against its renewals, too: one at the same moment would promise time for a lease that it has no more.
  SELECT * INTO kept FROM elect.sessions s WHERE s.session = lock_session.session FOR NO KEY UPDATE;
  RETURN kept;
END
$$;
COMMENT ON FUNCTION elect.lock_session(uuid) IS
  'Internal. The session, which nobody can end or renew before this transaction has ended; null if it has ended. Read the clock after it. Errors: 55P03 another transaction was at it for over 100 ms.';
