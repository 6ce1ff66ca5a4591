CREATE OR REPLACE FUNCTION elect.get_channels() RETURNS TABLE (channel text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT c FROM pg_listening_channels() AS c;
END
$$;
COMMENT ON FUNCTION elect.get_channels() IS
  'The channels that this session listens to: whether what listen and listen_here began is in force still. Writes nothing.';
