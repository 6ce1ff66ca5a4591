CREATE OR REPLACE FUNCTION elect.listen_here() RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  EXECUTE format('LISTEN %I', elect.session_channel(pg_backend_pid()));
  RETURN elect.session_channel(pg_backend_pid());
END
$$;
COMMENT ON FUNCTION elect.listen_here() IS
  'LISTENs in this session to the session''s own channel, on which candidates that stood in line in it are told that they were granted the lease, or should look; returns the channel. Not behind a pooler in transaction mode.';
