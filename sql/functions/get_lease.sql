CREATE OR REPLACE FUNCTION elect.get_lease(name text)
RETURNS TABLE (
  holder text, token bigint, version bigint, metadata jsonb,
  acquired_at timestamptz, expires_at timestamptz, expires_in interval, step_down_requested boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
BEGIN
  RETURN QUERY
  SELECT c.holder, c.token, c.version, c.metadata, c.acquired_at, c.expires_at, c.expires_in, c.step_down_requested
  FROM elect.current_leases c WHERE c.name = lease_name;
END
$$;
COMMENT ON FUNCTION elect.get_lease(text) IS
  'Who holds the lease; no row if it is vacant. Writes and locks nothing, and works on a hot standby. expires_in null: it does not expire. Errors: 22023 bad argument.';
