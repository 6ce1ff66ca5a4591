CREATE OR REPLACE FUNCTION elect.is_held(lease elect.leases, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (lease).holder IS NOT NULL AND elect.expiry_of(lease) > at;
COMMENT ON FUNCTION elect.is_held(elect.leases, timestamptz) IS
  'Internal. Whether the lease has a holder at that moment. Vacant and expired are the same to every function: this is the one place that says so.';
