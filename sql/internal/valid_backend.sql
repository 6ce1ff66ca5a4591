CREATE OR REPLACE FUNCTION elect.valid_backend(backend integer) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Behind a pooler the session that asks is lent to others, and whoever asked may hear on a connection of its own.
  IF backend IS NULL THEN
    RETURN pg_backend_pid();
  END IF;
  IF backend > 0 THEN
    RETURN backend;
  END IF;
  RAISE EXCEPTION 'Invalid backend: expected the process id of a session, or null for this one, got %', backend
    USING ERRCODE = 'invalid_parameter_value', HINT = 'It is what pg_backend_pid() answers in the session that has called elect.listen_here().';
END
$$;
COMMENT ON FUNCTION elect.valid_backend(integer) IS
  'Internal. The session that is to be told of a hand-off: this one if it is null; error 22023 if it cannot be one. Anybody may notify any channel, so naming the session of another tells it no more than anybody could.';
