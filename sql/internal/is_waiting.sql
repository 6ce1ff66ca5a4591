-- Written in the future: the clock of the server went back. Such a place would outlive its candidate by that much, so it
-- does not count until its candidate, if there still is one, says so anew. A second, because the two clock readings
-- that are compared may come from different moments of one call.
CREATE OR REPLACE FUNCTION elect.is_waiting(place elect.candidates, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (place).expires_at > at AND (place).seen_at <= at + interval '1 second';
COMMENT ON FUNCTION elect.is_waiting(elect.candidates, timestamptz) IS
  'Internal. Whether the place in line counts at that moment: this is the one place that says so.';
