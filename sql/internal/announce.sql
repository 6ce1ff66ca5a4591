CREATE OR REPLACE FUNCTION elect.announce(
  event text, name text, holder text, token bigint, previous_holder text, backend integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  message CONSTANT text := elect.news_of(event, name, holder, token, previous_holder);
BEGIN
  RETURN elect.tell(message, name, backend);
END
$$;
COMMENT ON FUNCTION elect.announce(text, text, text, bigint, text, integer) IS
  'Internal. Tells channel elect, the lease''s own channel, and that of one session if it is given, at commit, who holds the lease now. Never called by a renewal: NOTIFY serialises commits. Always true, so that it can stand in a condition: PERFORM would cost several times as much.';
