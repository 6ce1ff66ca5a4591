CREATE OR REPLACE FUNCTION elect.valid_choice(choice boolean, argument text) RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce(choice, elect.invalid_argument(
  argument || ': expected true or false', NULL, 'Leave the argument out for its default.')::boolean);
COMMENT ON FUNCTION elect.valid_choice(boolean, text) IS 'Internal. The choice, or error 22023, which names the argument, if it is null.';
