CREATE OR REPLACE FUNCTION elect.held_answer(granted boolean, lease elect.leases, at timestamptz) RETURNS elect.lease_grant
LANGUAGE sql STABLE
RETURN ROW(granted, (lease).holder, (lease).token, (lease).version, (lease).metadata, elect.remaining_time(lease, at), NULL)::elect.lease_grant;
COMMENT ON FUNCTION elect.held_answer(boolean, elect.leases, timestamptz) IS 'Internal. As lease_answer, of a lease that is known to be held, to one that is not in line.';
