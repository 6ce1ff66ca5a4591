-- In the body and local to the transaction: a SET clause of the function would end before the commit does.
-- A grant or renewal that a crash undoes lets a second holder in while the first still trusts its deadline.
-- A commit that did not wait for its standby, because the wait was cancelled, says so by a warning and nothing else: who asked must
-- hear it.
CREATE OR REPLACE FUNCTION elect.raise_durability() RETURNS boolean
LANGUAGE sql VOLATILE
RETURN CASE
    WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
      THEN set_config('synchronous_commit', 'on', true) = 'on'
    ELSE true
  END
  AND CASE
    WHEN current_setting('client_min_messages') IN ('error', 'fatal', 'panic')
      THEN set_config('client_min_messages', 'warning', true) = 'warning'
    ELSE true
  END;
COMMENT ON FUNCTION elect.raise_durability() IS
  'Internal. Raises synchronous_commit of this transaction to at least on; a stronger setting stays. Lets its warnings through to the client. Always true, so that it can stand in a condition: PERFORM would cost several times as much.';
