CREATE OR REPLACE FUNCTION elect.is_durable() RETURNS boolean
LANGUAGE sql STABLE
RETURN current_setting('synchronous_commit') NOT IN ('off', 'local', 'remote_write')
  AND current_setting('client_min_messages') NOT IN ('error', 'fatal', 'panic');
COMMENT ON FUNCTION elect.is_durable() IS 'Internal. Whether raise_durability would change nothing, as is usual: it costs less to ask this first.';
