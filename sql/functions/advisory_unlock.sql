CREATE OR REPLACE FUNCTION elect.advisory_unlock(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN pg_advisory_unlock(elect.advisory_key(elect.valid_name(name)));
END
$$;
COMMENT ON FUNCTION elect.advisory_unlock(text) IS
  'Gives back what try_advisory_lock took in this session. False, with a warning of the server, if this session did not have it. Errors: 22023 bad argument.';
