-- A counter or a sequence repeats itself after a fail-over, a restored backup or a deleted row; the clock does not,
-- and where the clock has gone back the counter goes on. Microseconds fit the 53 bits of a JavaScript number
-- until the year 2255. An hour more in each epoch: a standby may be promoted that does not know of the last tokens, and
-- whose clock is behind.
CREATE OR REPLACE FUNCTION elect.next_token(last bigint, at timestamptz, epoch bigint) RETURNS bigint
LANGUAGE sql STABLE
RETURN greatest(coalesce(last, 0) + 1, (extract(epoch FROM at) * 1000000::numeric)::bigint + (epoch - 1) * 3600000000);
COMMENT ON FUNCTION elect.next_token(bigint, timestamptz, bigint) IS
  'Internal. The token of a grant at that moment in that epoch, larger than the last one (null: there was none).';
