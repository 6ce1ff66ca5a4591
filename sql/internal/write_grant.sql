CREATE OR REPLACE FUNCTION elect.write_grant(
  lease elect.leases, name text, at timestamptz, holder text, ttl interval, metadata jsonb, event text,
  accept_in interval DEFAULT NULL, backend integer DEFAULT NULL, epoch bigint DEFAULT NULL, nobody_waits boolean DEFAULT false,
  session uuid DEFAULT NULL, own_session uuid DEFAULT NULL
) RETURNS elect.leases
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  granted elect.leases;
  in_epoch CONSTANT bigint := coalesce(epoch, (elect.epoch_at(at, true)).epoch);
  new_token CONSTANT bigint := elect.next_token((lease).token, at, in_epoch);
  line text;
  message text;
  until timestamptz := CASE WHEN session IS NULL THEN at + coalesce(accept_in, ttl) END;
BEGIN
  IF session IS NOT NULL THEN
    PERFORM elect.keep_session(session);
  END IF;
  IF lease.session IS NOT NULL THEN
    PERFORM elect.record_loss(lease, own_session);
  END IF;
  IF lease.name IS NULL THEN
    IF EXISTS (SELECT FROM elect.shared_leases s WHERE s.name = write_grant.name) THEN
      RAISE EXCEPTION 'Invalid lease name: % is the name of a shared lease', write_grant.name
        USING ERRCODE = 'invalid_parameter_value', HINT = 'One name is one thing: choose another.';
    END IF;
    IF lease.part_of IS NULL AND octet_length(write_grant.name) <= 180
       AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
      -- A shared lease of today may be invisible under a snapshot of the whole transaction: then this raises 40001.
      INSERT INTO elect.shared_leases (name, token, written_at) VALUES (write_grant.name, 1, at) ON CONFLICT (name) DO NOTHING;
      DELETE FROM elect.shared_leases s WHERE s.name = write_grant.name;
    END IF;
    INSERT INTO elect.leases (name, holder, token, version, epoch, acquired_at, renewed_at, expires_at, ttl, metadata, part_of, session)
    VALUES (write_grant.name, write_grant.holder, new_token, new_token, in_epoch,
            at, at, until, write_grant.ttl, write_grant.metadata, lease.part_of, write_grant.session)
    -- Under a snapshot of the whole transaction a row of today may be invisible: the server then raises 40001 here,
    -- where a plain INSERT would raise 23505.
    ON CONFLICT (name) DO NOTHING
    RETURNING * INTO granted;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'Lease % was written by hand at the same moment', write_grant.name
        USING ERRCODE = 'serialization_failure', HINT = 'Try again.';
    END IF;
  ELSE
    UPDATE elect.leases AS l
    SET holder = write_grant.holder, token = new_token, version = l.version + 1, epoch = in_epoch,
        acquired_at = at, renewed_at = at, expires_at = until, ttl = write_grant.ttl,
        metadata = write_grant.metadata, is_bound = false, part_of = NULL, session = write_grant.session
    WHERE l.name = write_grant.name
    RETURNING * INTO granted;
  END IF;
  -- Whoever has it waits no more, in whichever way it was granted: else the next release would hand it to the same one again.
  IF NOT nobody_waits THEN
    PERFORM elect.end_wait(coalesce(granted.part_of, granted.name), granted.holder);
  END IF;
  IF NOT elect.is_durable() THEN
    PERFORM elect.raise_durability();
  END IF;
  line := coalesce(granted.part_of, granted.name);
  message := elect.news_of(event, line, granted.holder, granted.token, lease.holder);
  -- Always true: PERFORM would cost several times as much.
  IF elect.tell(message, line, backend) THEN
  END IF;
  RETURN granted;
END
$$;
COMMENT ON FUNCTION elect.write_grant(elect.leases, text, timestamptz, text, interval, jsonb, text, interval, integer, bigint, boolean, uuid, uuid) IS
  'Internal. The one place where a lease gets a holder and a token. The caller has locked the row FOR UPDATE and read the clock after that, or has found no row and holds the advisory lock of the name, and has seen that no grace is in the way (grace_of), and that a session that had it has ended (end_session_of). accept_in: how long it lasts until its new holder renews it, if that is not the ttl; backend: whom to tell; epoch: the one in force, if the caller has looked; nobody_waits: the caller has seen that the line is empty; session: what keeps it from now on; own_session: as in record_loss. Errors: LE004 the session has ended.';
