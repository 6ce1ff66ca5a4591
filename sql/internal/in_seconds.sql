-- A day has 23 to 25 hours where the clocks change.
CREATE OR REPLACE FUNCTION elect.in_seconds(ttl interval) RETURNS interval
LANGUAGE sql STABLE
RETURN make_interval(secs => extract(epoch FROM ttl)::double precision);
COMMENT ON FUNCTION elect.in_seconds(interval) IS 'Internal. The ttl without days.';
