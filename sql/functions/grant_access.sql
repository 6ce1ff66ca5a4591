CREATE OR REPLACE FUNCTION elect.grant_access(role regrole, kind text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  reader CONSTANT text[] := ARRAY[
    'schema_version()', 'get_lease(text)', 'lease_channel(text)', 'listen(text[])', 'unlisten(text[])',
    -- A view runs the functions it names with the rights of its reader.
    'is_held(elect.leases, timestamptz)', 'remaining_time(elect.leases, timestamptz)',
    'trigger_lease(pg_trigger)', 'get_guards(text)'];
  contender CONSTANT text[] := reader || ARRAY[
    'acquire_lease(text, text, interval, jsonb)', 'renew_lease(text, bigint, interval)',
    'renew_leases(text[], bigint[], interval)', 'release_lease(text, bigint)', 'transfer_lease(text, bigint, text)',
    'compare_and_swap(text, text, text, interval)', 'compare_and_swap_version(text, text, bigint, interval)',
    'assert_lease(text, bigint, interval)', 'try_advisory_lock(text)', 'advisory_unlock(text)', 'try_advisory_xact_lock(text)',
    -- To set up a trigger one needs the right to its function; protecting runs with the rights of the table's owner.
    'guard_write()', 'protect_table(regclass, text)', 'unprotect_table(regclass)', 'protect_from_truncate(regclass)',
    'valid_name(text)',
    'begin_operation(text, bigint, text, boolean)', 'finish_operation(text, bigint, text, jsonb)',
    'fail_operation(text, bigint, text, jsonb)'];
  admin CONSTANT text[] := contender || ARRAY[
    'force_release(text, text, boolean)', 'prune_leases(interval)', 'prune_operations(interval)', 'grant_access(regrole, text)', 'revoke_access(regrole)'];
  signature text;
BEGIN
  IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) OR kind IS NULL OR kind NOT IN ('user', 'reader', 'admin') THEN
    RAISE EXCEPTION 'Invalid kind: expected a role and user, reader or admin, got % and %',
        coalesce(role::text, 'null'), coalesce(kind, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT elect.grant_access(''app'', ''user'');';
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA elect TO %s', role);
  EXECUTE format('GRANT SELECT ON elect.current_leases, elect.protected_tables TO %s', role);
  FOREACH signature IN ARRAY CASE kind WHEN 'reader' THEN reader WHEN 'user' THEN contender ELSE admin END LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION elect.%s TO %s', signature, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.grant_access(regrole, text) IS
  'Gives a role what a reader (sees who leads), a user (also acquires, renews, releases, guards) or an admin (also forces, prunes, gives access) needs. Never any right on the tables. Errors: 22023 bad argument.';
