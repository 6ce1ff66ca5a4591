-- A session is never left more than it was given. A second, as it may have been renewed after the clock was read.
CREATE OR REPLACE FUNCTION elect.is_from_future(lease elect.leases, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (lease).renewed_at > at
  OR (lease).session IS NOT NULL
    AND coalesce(elect.session_expiry((lease).session) > at + elect.session_remaining((lease).session, at) + interval '1 second', false);
COMMENT ON FUNCTION elect.is_from_future(elect.leases, timestamptz) IS
  'Internal. Whether a held lease, or the session that keeps it, was granted or renewed in the future: the clock of the server has gone back.';
