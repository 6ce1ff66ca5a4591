CREATE OR REPLACE FUNCTION elect.valid_name(name text) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_name(name) THEN name
  ELSE elect.invalid_argument('lease name: expected 1 to 200 bytes', octet_length(name) || ' bytes',
    'Name what is contended for, such as ''billing'' or ''partition-7''.')
END;
COMMENT ON FUNCTION elect.valid_name(text) IS 'Internal. The name, or error 22023 if it is null or not 1 to 200 bytes long.';
