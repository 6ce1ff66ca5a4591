CREATE OR REPLACE FUNCTION elect.get_lease(name text)
RETURNS TABLE (
  holder text, token bigint, version bigint, metadata jsonb,
  acquired_at timestamptz, expires_at timestamptz, expires_in interval, step_down_requested boolean, in_grace boolean
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(get_lease.name);
  lease elect.leases;
  at timestamptz;
  held boolean;
  grace_until timestamptz;
BEGIN
  SELECT * INTO lease FROM elect.leases l WHERE l.name = lease_name;
  at := clock_timestamp();
  held := elect.is_held(lease, at);
  -- A standby knows what its primary has told it, and is in no epoch of its own. What never expires has no time to wait for.
  IF NOT pg_is_in_recovery() AND NOT (held AND elect.expiry_of(lease) = 'infinity') THEN
    grace_until := elect.grace_of(lease, NULL, at, elect.epoch_at(at, may_record => false));
  END IF;
  IF NOT held AND grace_until IS NULL THEN
    RETURN;
  END IF;
  -- The shape of a grant that nobody knows of.
  IF NOT held THEN
    RETURN QUERY SELECT NULL::text, lease.token, lease.version, NULL::jsonb, NULL::timestamptz, grace_until, grace_until - at, false, true;
    RETURN;
  END IF;
  RETURN QUERY SELECT lease.holder, lease.token, lease.version, lease.metadata, lease.acquired_at,
    greatest(nullif(elect.expiry_of(lease), 'infinity'), grace_until), greatest(elect.remaining_time(lease, at), grace_until - at),
    lease.step_down_token IS NOT DISTINCT FROM lease.token, grace_until IS NOT NULL;
END
$$;
COMMENT ON FUNCTION elect.get_lease(text) IS
  'Who holds the lease; no row if it is vacant. Writes and locks nothing, and works on a hot standby. expires_in null: it does not expire. in_grace: after a fail-over (elect.epochs) it counts as held until then, even if its holder is unknown (null) or does not renew it. Errors: 22023 bad argument.';
