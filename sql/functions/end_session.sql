CREATE OR REPLACE FUNCTION elect.end_session(session uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
#variable_conflict use_column
DECLARE
  is_over boolean;
BEGIN
  -- No raise_durability: as a release, it costs the others one ttl at most if it is undone.
  DELETE FROM elect.sessions s WHERE s.session = end_session.session RETURNING s.expires_at <= clock_timestamp() INTO is_over;
  DELETE FROM elect.session_losses l WHERE l.session = end_session.session;
  RETURN coalesce(NOT is_over, false);
END
$$;
COMMENT ON FUNCTION elect.end_session(uuid) IS
  'Ends a session for good. The leases that it still keeps are vacant at once, but nobody is told: release them before. False if it had ended already. Errors: 55P03 a grant to it was under way for over a second.';
