CREATE OR REPLACE FUNCTION elect.session_expiry(session uuid) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  found_expiry timestamptz;
BEGIN
  SELECT s.expires_at INTO found_expiry FROM elect.sessions s WHERE s.session = session_expiry.session;
  RETURN coalesce(found_expiry, '-infinity');
END
$$;
COMMENT ON FUNCTION elect.session_expiry(uuid) IS 'Internal, but for the view. Until when a session lasts; -infinity: it has ended, or never was.';
