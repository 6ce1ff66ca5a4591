CREATE OR REPLACE FUNCTION elect.valid_shared_name(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF octet_length(name) BETWEEN 1 AND 180 THEN
    RETURN name;
  END IF;
  RAISE EXCEPTION 'Invalid name: expected 1 to 180 bytes, got %', coalesce(octet_length(name) || ' bytes', 'null')
    USING ERRCODE = 'invalid_parameter_value', HINT = 'Shares are named after it, with their tokens behind.';
END
$$;
COMMENT ON FUNCTION elect.valid_shared_name(text) IS
  'Internal. The name of a shared lease, or error 22023 if it is null or not 1 to 180 bytes long.';
