CREATE OR REPLACE FUNCTION elect.request_step_down(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  lease_name CONSTANT text := elect.valid_name(name);
  -- The row keeps the request, so that it is not lost with a notification, and so that no mere notification can depose a leader.
  lease elect.leases := elect.lock_row(lease_name);
BEGIN
  IF NOT elect.is_held(lease, clock_timestamp()) THEN
    RETURN false;
  END IF;
  UPDATE elect.leases AS l SET version = l.version + 1, step_down_token = l.token WHERE l.name = lease_name;
  PERFORM elect.announce('step_down', lease_name, lease.holder, lease.token, lease.holder);
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.request_step_down(text) IS
  'For operators: asks the leader to finish what it is at and give the lease back. The client obeys; one of your own reads step_down_requested from get_lease. False if nobody leads. Errors: 22023 bad argument, 55P03 another transaction was at the row for over a second.';
