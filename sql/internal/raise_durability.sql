CREATE OR REPLACE FUNCTION elect.raise_durability() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- In the body and local to the transaction: a SET clause of the function would end before the commit does.
  -- A grant or renewal that a crash undoes lets a second holder in while the first still trusts its deadline.
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  -- A commit that did not wait for its standby, because the wait was cancelled, says so by a warning and nothing else: who asked must hear it.
  IF current_setting('client_min_messages') IN ('error', 'fatal', 'panic') THEN
    PERFORM set_config('client_min_messages', 'warning', true);
  END IF;
END
$$;
COMMENT ON FUNCTION elect.raise_durability() IS
  'Internal. Raises synchronous_commit of this transaction to at least on; a stronger setting stays. Lets its warnings through to the client.';
