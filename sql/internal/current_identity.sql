CREATE OR REPLACE FUNCTION elect.current_identity() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'A standby grants and renews no lease'
      USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the primary: target_session_attrs=read-write.';
  END IF;
  -- A promoted standby has another timeline, a restored dump another cluster or another object id.
  RETURN hashtextextended(
    concat_ws(' ', elect.current_timeline(), elect.system_identifier(), 'elect.leases'::regclass::oid), 0);
END
$$;
COMMENT ON FUNCTION elect.current_identity() IS
  'Internal. A digest of what tells the epoch of this server from any other that its data may have been in. Error 25006 on a standby.';
