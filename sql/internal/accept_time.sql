-- Short, because whoever was handed a lease and does not take it up keeps all others waiting; but no shorter than a
-- candidate needs that has just lost its connection.
CREATE OR REPLACE FUNCTION elect.accept_time(ttl interval) RETURNS interval
LANGUAGE sql IMMUTABLE
RETURN least(ttl, interval '2 seconds');
COMMENT ON FUNCTION elect.accept_time(interval) IS
  'Internal. How long a lease that was handed to a candidate lasts until that renews it: 2 seconds, or its ttl if that is less.';
