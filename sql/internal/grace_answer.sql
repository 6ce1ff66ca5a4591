CREATE OR REPLACE FUNCTION elect.grace_answer(until timestamptz, at timestamptz, rank integer DEFAULT NULL) RETURNS elect.lease_grant
LANGUAGE sql STABLE
RETURN ROW(false, NULL, NULL, NULL, NULL, until - at, rank)::elect.lease_grant;
COMMENT ON FUNCTION elect.grace_answer(timestamptz, timestamptz, integer) IS
  'Internal. The answer to a contender that has to wait until the grace of a lease is over.';
