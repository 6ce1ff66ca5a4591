-- A counter or a sequence repeats itself after a fail-over, a restored backup or a deleted row; the clock does not,
-- and where the clock has gone back the counter goes on. Microseconds fit the 53 bits of a JavaScript number
-- until the year 2255.
CREATE OR REPLACE FUNCTION elect.next_token(last bigint, at timestamptz) RETURNS bigint
LANGUAGE sql STABLE
RETURN greatest(coalesce(last, 0) + 1, (extract(epoch FROM at) * 1000000::numeric)::bigint);
COMMENT ON FUNCTION elect.next_token(bigint, timestamptz) IS
  'Internal. The token of a grant at that moment, larger than the last one (null: there was none).';
