CREATE OR REPLACE FUNCTION elect.tell(message text, name text, backend integer) RETURNS boolean
LANGUAGE sql VOLATILE
-- A full queue would fail the commit (54000), and a notification is only a hint: losing it costs its readers
-- a little time, a failed grant or release would cost more.
RETURN pg_notification_queue_usage() > 0.9
  OR pg_notify('elect', message) IS NOT NULL AND pg_notify(elect.channel_of(name), message) IS NOT NULL
    AND (backend IS NULL OR pg_notify(elect.session_channel(backend), message) IS NOT NULL);
COMMENT ON FUNCTION elect.tell(text, text, integer) IS
  'Internal. As announce, of a message that is there already (news_of), for those who would have to call another function for it: pass variables, then the server writes it out where it is called.';
