CREATE OR REPLACE FUNCTION elect.grant_access(role regrole, kind text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  reader CONSTANT text[] := ARRAY[
    'schema_version()', 'get_lease(text)', 'lease_channel(text)', 'listen(text[])', 'unlisten(text[])',
    'get_channels()', 'settle_connection(integer, interval)',
    -- A view runs the functions it names with the rights of its reader.
    'is_held(elect.leases, timestamptz)', 'remaining_time(elect.leases, timestamptz)', 'expiry_of(elect.leases)',
    'session_expiry(uuid)', 'session_remaining(uuid, timestamptz)',
    'trigger_lease(pg_trigger)', 'get_guards(text)', 'get_candidates(text)', 'get_shares(text)', 'get_shared(text)',
    'get_settings()'];
  contender CONSTANT text[] := reader || ARRAY[
    'acquire_lease(text, text, interval, jsonb, boolean, integer, integer, uuid)', 'renew_lease(text, bigint, interval, uuid)',
    'renew_leases(text[], bigint[], interval, uuid)', 'release_lease(text, bigint, uuid)',
    'open_session(text, interval)', 'renew_session(uuid)', 'end_session(uuid)',
    'acquire_leases(text[], text[], interval[], jsonb[], uuid)', 'release_leases(text[], bigint[], uuid)', 'transfer_lease(text, bigint, text, boolean)',
    'leave_queue(text, text)', 'refresh_candidates(text[], text[], integer)', 'get_candidacy(text, text)', 'listen_here()',
    'bind_lease(text, bigint, interval)', 'take_over(text, text, interval, jsonb, integer, interval)',
    'acquire_share(text, text, boolean, integer, interval, jsonb, boolean, integer, integer)', 'set_capacity(text, integer)',
    'enter_barrier(text, text, integer, interval, jsonb)', 'get_assignment(text, integer, text)',
    'advisory_lock(text, interval)', 'acquire_queued(text, text, interval, jsonb, interval)', 'release_queued(text, bigint)',
    'compare_and_swap(text, text, text, interval)', 'compare_and_swap_version(text, text, bigint, interval)',
    'assert_lease(text, bigint, interval)', 'try_advisory_lock(text)', 'advisory_unlock(text)', 'try_advisory_xact_lock(text)',
    -- To set up a trigger one needs the right to its function; protecting runs with the rights of the table's owner.
    'guard_write()', 'protect_table(regclass, text)', 'unprotect_table(regclass)', 'protect_from_truncate(regclass)',
    'valid_name(text)', 'is_name(text)', 'invalid_argument(text, text, text)',
    'begin_operation(text, bigint, text, boolean)', 'finish_operation(text, bigint, text, jsonb)',
    'fail_operation(text, bigint, text, jsonb)'];
  admin CONSTANT text[] := contender || ARRAY[
    'force_release(text, text, boolean)', 'request_step_down(text)', 'prune_leases(interval)', 'prune_operations(interval)',
    'configure(interval, boolean)', 'new_epoch(text)', 'grant_access(regrole, text)', 'revoke_access(regrole)'];
  signature text;
BEGIN
  IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) OR kind IS NULL OR kind NOT IN ('user', 'reader', 'admin') THEN
    RAISE EXCEPTION 'Invalid kind: expected a role and user, reader or admin, got % and %',
        coalesce(role::text, 'null'), coalesce(kind, 'null')
      USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT elect.grant_access(''app'', ''user'');';
  END IF;
  -- One after the other: the server fails two that change the rights to the same function at once (XX000).
  LOCK TABLE elect.settings IN SHARE ROW EXCLUSIVE MODE;
  EXECUTE format('GRANT USAGE ON SCHEMA elect TO %s', role);
  EXECUTE format('GRANT SELECT ON elect.current_leases, elect.protected_tables TO %s', role);
  FOREACH signature IN ARRAY CASE kind WHEN 'reader' THEN reader WHEN 'user' THEN contender ELSE admin END LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION elect.%s TO %s', signature, role);
  END LOOP;
END
$$;
COMMENT ON FUNCTION elect.grant_access(regrole, text) IS
  'Gives a role what a reader (sees who leads), a user (also acquires, renews, releases, guards) or an admin (also forces, prunes, gives access) needs. Never any right on the tables. Errors: 22023 bad argument, 55P03 another transaction that changes access is open for over a second.';
