CREATE OR REPLACE FUNCTION elect.announce(
  event text, name text, holder text, token bigint, previous_holder text, backend integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  message text;
BEGIN
  -- A full queue would fail the commit (54000), and a notification is only a hint: losing it costs its readers
  -- a little time, a failed grant or release would cost more.
  IF pg_notification_queue_usage() > 0.9 THEN
    RETURN true;
  END IF;
  message := elect.news_of(event, name, holder, token, previous_holder);
  RETURN pg_notify('elect', message) IS NOT NULL AND pg_notify(elect.channel_of(name), message) IS NOT NULL
    AND (backend IS NULL OR pg_notify(elect.session_channel(backend), message) IS NOT NULL);
END
$$;
COMMENT ON FUNCTION elect.announce(text, text, text, bigint, text, integer) IS
  'Internal. Tells channel elect, the lease''s own channel, and that of one session if it is given, at commit, who holds the lease now. Never called by a renewal: NOTIFY serialises commits. Always true, so that it can stand in a condition: PERFORM would cost several times as much.';
