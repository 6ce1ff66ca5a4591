CREATE OR REPLACE FUNCTION elect.valid_outcome(outcome jsonb, argument text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF outcome IS NULL OR octet_length(outcome::text) <= 262144 THEN
    RETURN outcome;
  END IF;
  RAISE EXCEPTION 'Invalid %: expected at most 262144 bytes of JSON, got %', argument, octet_length(outcome::text)
    USING ERRCODE = 'invalid_parameter_value', HINT = 'Keep large results in a table of your own, and their key here.';
END
$$;
COMMENT ON FUNCTION elect.valid_outcome(jsonb, text) IS
  'Internal. The result or error of an operation, or error 22023 if it is over 256 KiB as text. Null is valid.';
