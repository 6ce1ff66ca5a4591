CREATE OR REPLACE FUNCTION elect.revoke_access(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
BEGIN
  IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
    RAISE EXCEPTION 'Invalid role: expected a role, got %', coalesce(role::text, 'null') USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- One after the other: the server fails two that change the rights to the same function at once (XX000).
  LOCK TABLE elect.settings IN SHARE ROW EXCLUSIVE MODE;
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA elect FROM %s', role);
  EXECUTE format('REVOKE ALL ON elect.current_leases, elect.protected_tables FROM %s', role);
  EXECUTE format('REVOKE ALL ON SCHEMA elect FROM %s', role);
END
$$;
COMMENT ON FUNCTION elect.revoke_access(regrole) IS
  'Takes back all that grant_access gave to a role; what it has through membership in another role stays. Errors: 22023 bad argument, 55P03 another transaction that changes access is open for over a second.';
