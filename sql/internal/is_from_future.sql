-- A session is never given more than its ttl, which is that of its leases. A second, as it may have been renewed after the clock was read.
CREATE OR REPLACE FUNCTION elect.is_from_future(lease elect.leases, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (lease).renewed_at > at OR (lease).session IS NOT NULL AND elect.expiry_of(lease) > at + (lease).ttl + interval '1 second';
COMMENT ON FUNCTION elect.is_from_future(elect.leases, timestamptz) IS
  'Internal. Whether a held lease was granted or renewed in the future: the clock of the server has gone back.';
