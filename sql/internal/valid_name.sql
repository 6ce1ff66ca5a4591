CREATE OR REPLACE FUNCTION elect.valid_name(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF octet_length(name) BETWEEN 1 AND 200 THEN
    RETURN name;
  END IF;
  RAISE EXCEPTION 'Invalid lease name: expected 1 to 200 bytes, got %',
      coalesce(octet_length(name) || ' bytes', 'null')
    USING ERRCODE = 'invalid_parameter_value',
          HINT = 'Name what is contended for, such as ''billing'' or ''partition-7''.';
END
$$;
COMMENT ON FUNCTION elect.valid_name(text) IS 'Internal. The name, or error 22023 if it is null or not 1 to 200 bytes long.';
