-- The checks are SQL, so that the server writes them out where they are called: a function of its own for each would be set up anew in
-- each transaction, and so would be whatever stands in them for the case that they fail. So that stands here.
-- Never IMMUTABLE: the server would call it while it plans.
CREATE OR REPLACE FUNCTION elect.invalid_argument(message text, got text, hint text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION USING
    MESSAGE = format('Invalid %s, got %s', message, coalesce(got, 'null')), ERRCODE = 'invalid_parameter_value', HINT = coalesce(hint, '');
END
$$;
COMMENT ON FUNCTION elect.invalid_argument(text, text, text) IS
  'Internal. Error 22023 about an argument: its name and what was expected of it, what came instead (null: null), and a hint. Returns nothing, but can stand where a value is expected.';
