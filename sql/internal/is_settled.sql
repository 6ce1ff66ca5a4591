-- No ttl is longer than a day. And what was granted or renewed in this epoch is known here.
CREATE OR REPLACE FUNCTION elect.is_settled(lease elect.leases, in_epoch elect.epochs, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce((in_epoch).epoch = (lease).epoch, false) OR (in_epoch).first_seen_at + interval '24 hours' <= at;
COMMENT ON FUNCTION elect.is_settled(elect.leases, elect.epochs, timestamptz) IS
  'Internal. Whether it is out of the question that the lease is in its grace (grace_of), as is usual.';
