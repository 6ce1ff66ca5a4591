CREATE OR REPLACE FUNCTION elect.get_guards(name text)
RETURNS TABLE (
  pid integer, usename text, application_name text, client_addr inet, state text, since timestamptz, query text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key CONSTANT bigint := elect.guard_key(elect.valid_name(name));
BEGIN
  RETURN QUERY
  SELECT a.pid, a.usename::text, a.application_name, a.client_addr, a.state, a.xact_start, a.query
  FROM pg_locks k
  JOIN pg_stat_activity a ON a.pid = k.pid
  WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
    AND k.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND ((k.classid::bigint << 32) | k.objid::bigint) = key;
END
$$;
COMMENT ON FUNCTION elect.get_guards(text) IS
  'Who holds up a takeover of the lease: the guarded transactions of it that are open, and since when. state, since and query are null where the schema''s owner may not see them (role pg_read_all_stats). Errors: 22023 bad argument.';
