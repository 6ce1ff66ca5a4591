CREATE OR REPLACE FUNCTION elect.end_guards(name text) RETURNS integer[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  guard record;
  ended integer[] := ARRAY[]::integer[];
BEGIN
  FOR guard IN SELECT g.pid, g.usename, g.since FROM elect.get_guards(name) g WHERE g.pid <> pg_backend_pid() LOOP
    -- Waits until it is gone: its row lock has to be free for what comes next.
    IF pg_terminate_backend(guard.pid, 1000) THEN
      ended := ended || guard.pid;
      RAISE NOTICE 'Ended backend % of %, in a guarded transaction since %', guard.pid, guard.usename, guard.since;
    END IF;
  END LOOP;
  RETURN ended;
END
$$;
COMMENT ON FUNCTION elect.end_guards(text) IS
  'Internal. Ends the backends that are inside a guarded transaction of the lease, and returns their process ids.';
