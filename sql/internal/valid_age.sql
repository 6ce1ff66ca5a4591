CREATE OR REPLACE FUNCTION elect.valid_age(older_than interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF older_than BETWEEN interval '0' AND interval '100 years' THEN
    RETURN older_than;
  END IF;
  RAISE EXCEPTION 'Invalid older_than: expected 0 seconds to 100 years, got %', coalesce(older_than::text, 'null')
    USING ERRCODE = 'invalid_parameter_value', HINT = 'A day or more is usual.';
END
$$;
COMMENT ON FUNCTION elect.valid_age(interval) IS 'Internal. The age from which to prune, or error 22023 if it is null, negative or over 100 years.';
