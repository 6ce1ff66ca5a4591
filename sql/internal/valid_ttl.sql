-- Months have no fixed length.
CREATE OR REPLACE FUNCTION elect.valid_ttl(ttl interval, argument text DEFAULT 'ttl') RETURNS interval
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_ttl(ttl) THEN elect.in_seconds(ttl)
  ELSE elect.invalid_argument(argument || ': expected 100 milliseconds to 24 hours without months', ttl::text,
    'It bounds how long others wait for one that crashed or hangs; seconds to minutes are usual.')::interval
END;
COMMENT ON FUNCTION elect.valid_ttl(interval, text) IS
  'Internal. The ttl (or another bound) in seconds, or error 22023, which names the argument, if it is null, not 100 ms to 24 h, infinite or has months.';
