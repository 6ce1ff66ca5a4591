CREATE OR REPLACE FUNCTION elect.valid_token(token bigint, argument text DEFAULT 'token', least_value bigint DEFAULT 1) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF token >= least_value THEN
    RETURN token;
  END IF;
  RAISE EXCEPTION 'Invalid %: expected a number from % on, got %', argument, least_value, coalesce(token::text, 'null')
    USING ERRCODE = 'invalid_parameter_value',
          HINT = 'Pass on the number that came with the lease.';
END
$$;
COMMENT ON FUNCTION elect.valid_token(bigint, text, bigint) IS
  'Internal. The token (or version), or error 22023, which calls it by the name of the argument, if it is null or too small.';
