CREATE OR REPLACE FUNCTION elect.keep_session(session uuid) RETURNS elect.sessions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  kept CONSTANT elect.sessions := elect.lock_session(session);
BEGIN
  -- One of an epoch before this cannot be renewed, and so is no place for a lease of today.
  IF kept.expires_at > clock_timestamp() AND kept.epoch = (elect.epoch_at(clock_timestamp(), true)).epoch THEN
    RETURN kept;
  END IF;
  RAISE EXCEPTION 'Session % has ended', session
    USING ERRCODE = 'LE004', HINT = 'Open another one (elect.open_session): an ended session cannot be renewed, and holds nothing.';
END
$$;
COMMENT ON FUNCTION elect.keep_session(uuid) IS
  'Internal. As lock_session, for a lease that is to be kept by it from now on: error LE004 if it has ended, or belongs to another epoch.';
