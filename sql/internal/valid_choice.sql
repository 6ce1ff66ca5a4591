CREATE OR REPLACE FUNCTION elect.valid_choice(choice boolean, argument text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF choice IS NULL THEN
    RAISE EXCEPTION 'Invalid %: expected true or false, got null', argument
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave the argument out for its default.';
  END IF;
  RETURN choice;
END
$$;
COMMENT ON FUNCTION elect.valid_choice(boolean, text) IS 'Internal. The choice, or error 22023, which names the argument, if it is null.';
