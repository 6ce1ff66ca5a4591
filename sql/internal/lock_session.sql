CREATE OR REPLACE FUNCTION elect.lock_session(session uuid) RETURNS elect.sessions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  kept elect.sessions;
BEGIN
  -- KEY SHARE: whoever would end it passes on; its renewals do not mind. Nor is anybody waited for: who is ending it has seen it expired.
  SELECT * INTO kept FROM elect.sessions s WHERE s.session = lock_session.session FOR KEY SHARE SKIP LOCKED;
  RETURN kept;
END
$$;
COMMENT ON FUNCTION elect.lock_session(uuid) IS
  'Internal. The session, which nobody can end before this transaction has; null if it has ended. Read the clock after it.';
