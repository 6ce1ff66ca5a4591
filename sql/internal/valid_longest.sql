CREATE OR REPLACE FUNCTION elect.valid_longest(longest interval) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF longest IS NULL OR longest NOT BETWEEN interval '1 millisecond' AND interval '1 second' THEN
    -- A statement that waits holds a snapshot, and that holds up vacuum in the whole database.
    RAISE EXCEPTION 'Invalid longest: expected 1 millisecond to 1 second, got %', coalesce(longest::text, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'Ask again for as long as you like: each wait is bounded.';
  END IF;
  RETURN ceil(extract(epoch FROM longest) * 1000)::integer;
END
$$;
COMMENT ON FUNCTION elect.valid_longest(interval) IS
  'Internal. How long a wait for an advisory lock may last, in milliseconds, as lock_timeout takes it; error 22023 if it is not 1 ms to 1 s.';
