CREATE OR REPLACE FUNCTION elect.settle_connection(backend integer, dead_after interval DEFAULT '15 seconds') RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  -- Shorter ones would take a lost packet for a dead client.
  dead_ms CONSTANT bigint := greatest(1000, (extract(epoch FROM elect.valid_ttl(dead_after, 'dead_after')) * 1000)::bigint);
  wanted record;
BEGIN
  -- The grace after a fail-over begins when somebody sees it: better when the first client comes back than when it first wants something.
  IF NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' THEN
    PERFORM elect.epoch_at(clock_timestamp(), true);
  END IF;
  -- A pooler names a process of its own to its clients. What is set would stay with whoever gets this session next.
  IF backend IS DISTINCT FROM pg_backend_pid() THEN
    RETURN false;
  END IF;
  -- What is granted or renewed is made durable by the functions themselves. All else (places in line, releases) costs no more than time
  -- if a crash undoes it, and others wait for it: it need not wait for the disk.
  IF current_setting('synchronous_commit') IN ('on', 'local', 'remote_write') THEN
    PERFORM set_config('synchronous_commit', 'off', false);
  END IF;
  FOR wanted IN
    SELECT s.name, w.value
    FROM (VALUES
      -- Unanswered for that long: gone. The kernel asks by keepalives where nothing is to be sent, and counts them by the same time.
      ('tcp_user_timeout', dead_ms),
      ('tcp_keepalives_idle', ceil(dead_ms / 3000.0)::bigint),
      ('tcp_keepalives_interval', ceil(dead_ms / 6000.0)::bigint),
      ('tcp_keepalives_count', 3),
      -- A statement that waits for a lock does not outlive its client by more.
      ('client_connection_check_interval', dead_ms / 3)) AS w (name, value)
    -- Without those that this server does not know, and those that are as short already.
    JOIN pg_settings s ON s.name = w.name AND (s.setting::bigint = 0 OR s.setting::bigint > w.value)
  LOOP
    BEGIN
      PERFORM set_config(wanted.name, wanted.value::text, false);
    EXCEPTION
      -- Not on every operating system, and a provider may keep it to itself. Then the session only takes longer to die.
      WHEN invalid_parameter_value OR feature_not_supported OR insufficient_privilege OR cant_change_runtime_param THEN
        NULL;
    END;
  END LOOP;
  RETURN true;
END
$$;
COMMENT ON FUNCTION elect.settle_connection(integer, interval) IS
  'For connections that are kept for leases alone: the session of a client that died in silence ends after about dead_after, and what is neither granted nor renewed commits asynchronously, from now on in this session. Settings that are stricter stay. Nothing is set, and the answer is false, unless backend is the process of this session, as a client knows it from the protocol: a pooler would give the session to others. After a fail-over the first of them begins the grace (elect.epochs). Errors: 22023 bad argument.';
