CREATE OR REPLACE FUNCTION elect.keep_session(session uuid) RETURNS elect.sessions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  kept elect.sessions;
BEGIN
  -- KEY SHARE: whoever would end it passes on; its renewals do not mind. Nor is anybody waited for: who is ending it has seen it expired.
  SELECT * INTO kept FROM elect.sessions s WHERE s.session = keep_session.session FOR KEY SHARE SKIP LOCKED;
  -- One of an epoch before this cannot be renewed, and so is no place for a lease of today.
  IF kept.expires_at > clock_timestamp() AND kept.epoch = (elect.epoch_at(clock_timestamp(), true)).epoch THEN
    RETURN kept;
  END IF;
  RAISE EXCEPTION 'Session % has ended', keep_session.session
    USING ERRCODE = 'LE004', HINT = 'Open another one (elect.open_session): an ended session cannot be renewed, and holds nothing.';
END
$$;
COMMENT ON FUNCTION elect.keep_session(uuid) IS
  'Internal. The session, for a lease that is to be kept by it from now on: nobody can end it before this transaction has. Error LE004 if it has ended, or belongs to another epoch.';
