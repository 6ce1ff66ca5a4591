CREATE OR REPLACE FUNCTION elect.valid_session(session uuid) RETURNS elect.sessions
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  found_session elect.sessions;
BEGIN
  -- Only a look: a contender that is refused locks nothing.
  SELECT * INTO found_session FROM elect.sessions s WHERE s.session = valid_session.session;
  IF found_session.expires_at > clock_timestamp() THEN
    RETURN found_session;
  END IF;
  RAISE EXCEPTION 'Session % has ended', valid_session.session
    USING ERRCODE = 'LE004', HINT = 'Open another one (elect.open_session): an ended session cannot be renewed, and holds nothing.';
END
$$;
COMMENT ON FUNCTION elect.valid_session(uuid) IS 'Internal. The session, or error LE004 if it has ended.';
