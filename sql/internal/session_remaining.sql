CREATE OR REPLACE FUNCTION elect.session_remaining(session uuid, at timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  found_session elect.sessions;
BEGIN
  SELECT * INTO found_session FROM elect.sessions s WHERE s.session = session_remaining.session;
  RETURN least(found_session.expires_at - at, found_session.expires_at - found_session.renewed_at);
END
$$;
COMMENT ON FUNCTION elect.session_remaining(uuid, timestamptz) IS
  'Internal, but for the view. How long a session still lasts, as remaining_time; null: it has ended.';
