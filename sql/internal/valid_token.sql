CREATE OR REPLACE FUNCTION elect.valid_token(token bigint, argument text DEFAULT 'token', least_value bigint DEFAULT 1) RETURNS bigint
LANGUAGE sql STABLE
RETURN CASE
  WHEN token >= least_value THEN token
  ELSE elect.invalid_argument(argument || ': expected a number from ' || least_value || ' on', token::text,
    'Pass on the number that came with the lease.')::bigint
END;
COMMENT ON FUNCTION elect.valid_token(bigint, text, bigint) IS
  'Internal. The token (or version), or error 22023, which calls it by the name of the argument, if it is null or too small.';
