CREATE OR REPLACE FUNCTION elect.valid_ttl(ttl interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Months have no fixed length, and a day has 23 to 25 hours where the clocks change: the answer is in seconds.
  IF ttl BETWEEN '100 milliseconds' AND '24 hours'
     AND extract(month FROM ttl) = 0 AND extract(year FROM ttl) = 0 THEN
    RETURN make_interval(secs => extract(epoch FROM ttl)::double precision);
  END IF;
  RAISE EXCEPTION 'Invalid ttl: expected 100 milliseconds to 24 hours without months, got %', coalesce(ttl::text, 'null')
    USING ERRCODE = 'invalid_parameter_value',
          HINT = 'The ttl bounds how long a crashed holder is waited for; seconds to minutes are usual.';
END
$$;
COMMENT ON FUNCTION elect.valid_ttl(interval) IS
  'Internal. The ttl in seconds, or error 22023 if it is null, not 100 ms to 24 h, infinite or has months.';
