CREATE OR REPLACE FUNCTION elect.valid_text(value text, argument text, optional boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_text(value) OR (optional AND value IS NULL) THEN value
  ELSE elect.invalid_argument(argument || ': expected 1 to 500 bytes', octet_length(value) || ' bytes',
    CASE
      WHEN argument IN ('holder', 'successor')
        THEN 'A holder is unique per contender instance, such as host:pid:random; a host name alone is not.'
      ELSE 'Keep longer text in a table of your own.'
    END)
END;
COMMENT ON FUNCTION elect.valid_text(text, text, boolean) IS
  'Internal. The value (a holder, a register''s value, a reason), or error 22023, which names the argument, if it is not 1 to 500 bytes long, or null and not optional.';
