CREATE OR REPLACE FUNCTION elect.lease_answer(
  granted boolean, lease elect.leases, at timestamptz, rank integer DEFAULT NULL
) RETURNS elect.lease_grant
LANGUAGE sql STABLE
RETURN CASE
  WHEN elect.is_held(lease, at) THEN
    ROW(granted, (lease).holder, (lease).token, (lease).version, (lease).metadata, elect.remaining_time(lease, at), rank)::elect.lease_grant
  ELSE ROW(granted, NULL, NULL, NULL, NULL, NULL, rank)::elect.lease_grant
END;
COMMENT ON FUNCTION elect.lease_answer(boolean, elect.leases, timestamptz, integer) IS
  'Internal. The answer to a caller, from the lease as it is now, and its place in line.';
