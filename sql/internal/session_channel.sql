CREATE OR REPLACE FUNCTION elect.session_channel(backend integer) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'elect_session_' || backend::text;
COMMENT ON FUNCTION elect.session_channel(integer) IS
  'Internal. The channel of one session, on which its candidates are told of a hand-off: one session wakes, not all who wait.';
