-- Behind a pooler the session that asks is lent to others, and whoever asked may hear on a connection of its own.
CREATE OR REPLACE FUNCTION elect.valid_backend(backend integer) RETURNS integer
LANGUAGE sql STABLE
RETURN CASE
  WHEN backend IS NULL THEN pg_backend_pid()
  WHEN backend > 0 THEN backend
  ELSE elect.invalid_argument('backend: expected the process id of a session, or null for this one', backend::text,
    'It is what pg_backend_pid() answers in the session that has called elect.listen_here().')::integer
END;
COMMENT ON FUNCTION elect.valid_backend(integer) IS
  'Internal. The session that is to be told of a hand-off: this one if it is null; error 22023 if it cannot be one. Anybody may notify any channel, so naming the session of another tells it no more than anybody could.';
