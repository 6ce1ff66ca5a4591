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
  lease elect.leases;
  at timestamptz;
  held boolean;
  grace_until timestamptz;
BEGIN
  IF elect.is_name(name) IS NOT TRUE THEN
    PERFORM elect.valid_name(name);
  END IF;
  SELECT l.holder, l.token, l.version, l.metadata, l.acquired_at, l.expires_at,
    l.renewed_at, l.epoch, l.session, l.step_down_token
  INTO holder, token, version, metadata, acquired_at, expires_at, lease.renewed_at, lease.epoch, lease.session, lease.step_down_token
  FROM elect.leases l
  WHERE l.name = get_lease.name;
  at := clock_timestamp();
  -- The usual answer, by few and short expressions (acquire_lease says why): plainly held, in the epoch in force.
  IF expires_at > at AND lease.renewed_at <= at AND holder IS NOT NULL AND lease.session IS NULL THEN
    IF pg_is_in_recovery() OR elect.is_in_force(lease.epoch) THEN
      expires_in := expires_at - at;
      step_down_requested := coalesce(lease.step_down_token = token, false);
      in_grace := false;
      RETURN NEXT;
      RETURN;
    END IF;
  END IF;

  SELECT * INTO lease FROM elect.leases l WHERE l.name = get_lease.name;
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
