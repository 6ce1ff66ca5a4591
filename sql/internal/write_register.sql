CREATE OR REPLACE FUNCTION elect.write_register(
  lease elect.leases, key text, at timestamptz, next text, ttl interval
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- The same value again comes from whoever holds it; and what never expires, nobody trusts by the time.
  IF NOT elect.is_held(lease, at) OR next IS DISTINCT FROM lease.holder AND elect.expiry_of(lease) < 'infinity' THEN
    PERFORM elect.require_settled(lease, key, ttl, at);
  END IF;
  IF NOT elect.is_held(lease, at) THEN
    IF next IS NULL THEN
      RETURN coalesce(lease.version, 0);
    END IF;
    IF lease.session IS NOT NULL THEN
      lease := elect.end_session_of(lease, at);
    END IF;
    IF lease.session IS NOT NULL THEN
      RAISE EXCEPTION 'Key % is kept by a session that is being renewed', key
        USING ERRCODE = 'lock_not_available', HINT = 'Try again.';
    END IF;
    lease := elect.write_grant(lease, key, at, next, ttl, NULL,
      CASE WHEN lease.holder IS NULL THEN 'granted' ELSE 'expired' END);
  ELSIF next IS NULL THEN
    PERFORM elect.raise_durability();
    PERFORM elect.write_vacancy(lease, at, 'released');
    RETURN lease.version + 1;
  ELSIF next = lease.holder THEN
    lease := elect.write_renewal(lease, at, ttl);
  ELSE
    lease := elect.write_grant(lease, key, at, next, ttl, NULL, 'transferred');
  END IF;
  RETURN lease.version;
END
$$;
COMMENT ON FUNCTION elect.write_register(elect.leases, text, timestamptz, text, interval) IS
  'Internal. Gives a register its next value (null: empty) and returns the new version. The same value again keeps its token. The caller has compared, under lock_register. Errors: 55P03 it is in its grace.';
