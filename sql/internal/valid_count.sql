CREATE OR REPLACE FUNCTION elect.valid_count(value integer, argument text, least_value integer, optional boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF value BETWEEN least_value AND 1000000 OR (optional AND value IS NULL) THEN
    RETURN value;
  END IF;
  RAISE EXCEPTION 'Invalid %: expected a number from % to 1000000, got %', argument, least_value, coalesce(value::text, 'null')
    USING ERRCODE = 'invalid_parameter_value';
END
$$;
COMMENT ON FUNCTION elect.valid_count(integer, text, integer, boolean) IS
  'Internal. The count, or error 22023, which names the argument, if it is too small, over a million, or null and not optional.';
